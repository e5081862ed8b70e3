//! Every time-out of a node, derived from one intent.

use std::time::Duration;

/// All spans that a node waits, derived from [`Timing::detect_within`].
///
/// A cluster's nodes should share one `detect_within`; they need not share anything else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    detect_within: Duration,
}

/// A detection time that cannot be kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "detect_within of {0:?} is outside {min:?} to {max:?}: a shorter one mistakes a busy process for a dead one",
    min = Timing::DETECT_MIN,
    max = Timing::DETECT_MAX
)]
pub struct BadTiming(Duration);

impl Timing {
    /// The shortest detection time that scheduling noise allows.
    pub const DETECT_MIN: Duration = Duration::from_millis(50);
    /// The longest one that is still a detection.
    pub const DETECT_MAX: Duration = Duration::from_mins(1);
    /// The default: half a second.
    pub const DEFAULT: Self = Self { detect_within: Duration::from_millis(500) };

    /// Derives all spans from the time within which a silent node is to be suspected.
    ///
    /// # Errors
    /// [`BadTiming`] outside [`Self::DETECT_MIN`] to [`Self::DETECT_MAX`].
    pub fn detect_within(span: Duration) -> Result<Self, BadTiming> {
        if (Self::DETECT_MIN..=Self::DETECT_MAX).contains(&span) {
            Ok(Self { detect_within: span })
        } else {
            Err(BadTiming(span))
        }
    }

    /// Within so long a node that dies is suspected, and its groups go on: the intent behind all other spans.
    pub const fn detect(&self) -> Duration {
        self.detect_within
    }

    /// A peer that is silent for so long is suspected: a little less than the detection time, of which the group then
    /// needs the rest to go on without it.
    pub fn silence(&self) -> Duration {
        self.detect_within / 25 * 24
    }

    /// Between two heartbeats to a peer: five fit into a silence, so four may be lost.
    pub fn heartbeat(&self) -> Duration {
        self.silence() / 5
    }

    /// A timer later than this says that this process, not its peers, stood still.
    pub fn stall(&self) -> Duration {
        self.detect_within / 2
    }

    /// Before a peer is accused, what has come from it is taken in for so long: what reaches a socket
    /// passes several queues, and a timer may be ahead of them all.
    pub fn last_call(&self) -> Duration {
        self.detect_within / 10
    }

    /// A peer that seems not to hear this node is asked, and has so long to answer: it may be late by
    /// a stall itself, and its answer has to be taken in.
    pub fn answer(&self) -> Duration {
        self.stall() + self.last_call()
    }

    /// Frames from a peer are a sign of life for so long after its last heartbeat: they may have lain in
    /// buffers while it died, and do not show that it hears this node.
    pub fn mute(&self) -> Duration {
        self.detect_within * 2
    }

    /// How long the life of a node that is gone is remembered: what it had sent may still wait in
    /// queues, and must not be taken for news.
    pub fn departed(&self) -> Duration {
        self.detect_within * 20
    }

    /// Between two looks at what is unanswered: lost frames are asked for again after it.
    pub fn resend(&self) -> Duration {
        self.detect_within / 10
    }

    /// How long one round of a view change may take before it is tried again.
    pub fn round(&self) -> Duration {
        self.detect_within
    }

    /// A node that carries a group has so long to answer one that wants to read there: more than a
    /// stall and the answer's way, and as long as a node needs to be suspected whose frames still come.
    pub fn service(&self) -> Duration {
        self.detect_within * 2
    }

    /// How long two members that do not hear each other, while others hear both, may stay so
    /// before the junior one has to leave.
    pub fn broken_link(&self) -> Duration {
        self.detect_within * 2
    }

    /// How long founders wait for all that were declared before a majority goes on without the rest.
    pub fn founding(&self) -> Duration {
        self.detect_within * 4
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}
