//! What members of a group say to each other.

use quorate_membership::{
    Decree, Member, NodeId, Seq, View, ViewId,
    agreement::{Ballot, Promise},
};
use serde::{Deserialize, Serialize};

use super::{Charter, Offer};
use crate::{
    Batch, ChunkLabel, Frame, Part, Purpose, Row,
    weight::{batch_weight, weight},
};

/// Anything one member sends to another. The lane names the group, the link names the sender and
/// its life, and the message names the view it speaks of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The view that the body speaks of.
    pub view: ViewId,
    /// What is said.
    pub body: Body,
}

/// What somebody lacks of a sender's frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The sender's rank.
    pub rank: usize,
    /// The first frame wanted.
    pub from: Seq,
    /// The last frame wanted.
    pub through: Seq,
    /// So many bytes of the first have come in parts, from its beginning on.
    pub offset: u64,
}

/// The kinds of messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Body {
    /// The sender's next frame: `row.sent` is its position, `row.clock` its stamp.
    Data {
        /// The sender's counters as it sent the frame.
        row: Row,
        /// Which of the messages are requests: the place in the batch and the sender's number.
        requests: Vec<(u32, u64)>,
        /// What stands before each of the messages; none if nothing stands before any of them. They
        /// travel as raw payload, too.
        #[serde(skip)]
        heads: Batch,
        /// The messages. They travel as raw payload behind the encoded header.
        #[serde(skip)]
        batch: Batch,
        /// Whether receivers are to say at once that they have it. While more follows, they are for one of several
        /// frames, and their rows speak for those before it.
        row_wanted: bool,
    },
    /// A part of a frame that is long, or goes from member to member.
    Part(Part),
    /// The sender's counters alone.
    Status {
        /// The counters.
        row: Row,
        /// Whether the receiver is asked for its own.
        probe: bool,
    },
    /// Asks for frames of a sender.
    Fetch(Gap),
    /// Frames of a sender, from whoever holds them.
    Refill {
        /// The sender's rank.
        rank: usize,
        /// The frames, in order.
        frames: Vec<Frame>,
    },
    /// Messages from the sender to the receiver alone.
    Direct {
        /// Position of the first.
        first: Seq,
        /// What each of them is.
        purposes: Vec<Purpose>,
        /// The messages. They travel as raw payload behind the encoded header.
        #[serde(skip)]
        batch: Batch,
    },
    /// The receiver's messages to the sender alone were delivered through this position.
    DirectDelivered {
        /// The last one delivered.
        through: Seq,
    },
    /// Asks how far the asker's messages to the receiver alone were delivered in a closed view.
    AskDelivered {
        /// The view.
        closed: ViewId,
    },
    /// Answers that.
    ToldDelivered {
        /// The view.
        closed: ViewId,
        /// The last one delivered; `None` if that is not known any more.
        through: Option<Seq>,
    },
    /// Frames before this one are not kept any more.
    Freed {
        /// Their sender's rank.
        rank: usize,
        /// The first frame that is kept.
        first: Seq,
    },
    /// How far the sender, a learner, has come.
    Learning {
        /// Per data member, in rank order, the last frame received without a gap.
        received: Vec<Seq>,
        /// Whether it has caught up.
        ready: bool,
    },
    /// Asks for a part of a snapshot.
    WantState {
        /// The view at whose beginning it was taken.
        snapshot: ViewId,
        /// Where the part begins.
        offset: u64,
        /// How many bytes the sender can take.
        credit: u64,
    },
    /// A part of a snapshot. It is bulk: nothing waits for it.
    State {
        /// What it is a part of.
        label: ChunkLabel,
        /// The part alone. It travels as raw payload behind the encoded header.
        #[serde(skip)]
        batch: Batch,
    },
    /// The sender does not keep that snapshot for the receiver.
    NoState {
        /// The view at whose beginning it was taken.
        snapshot: ViewId,
    },
    /// Whom the sender has lost, and whether it waits for a view change to end.
    Opinion {
        /// Nodes of the view that the sender and they do not both hear.
        lost: Vec<NodeId>,
        /// Whether the sender has sealed the view.
        sealed: bool,
    },
    /// Asks whether the receiver has promised to close the view; the sender stood still.
    Confirm {
        /// Names the question.
        round: u64,
    },
    /// The view stands, as far as the sender has not promised to close it.
    Confirmed {
        /// The question that is answered.
        round: u64,
    },
    /// Asks to seal the view.
    Prepare {
        /// The attempt.
        ballot: Ballot,
    },
    /// The view is sealed.
    Promise(Box<Promise>),
    /// The attempt came too late.
    Refused {
        /// What was promised to somebody else.
        promised: Ballot,
    },
    /// Asks a member of the next view to hold everything under the cut.
    Hold {
        /// The attempt.
        ballot: Ballot,
        /// What is going to be put to the vote.
        decree: Decree,
    },
    /// Everything under the cut is held.
    Holding {
        /// The attempt.
        ballot: Ballot,
    },
    /// Asks for a vote.
    Accept {
        /// The attempt.
        ballot: Ballot,
        /// What is voted on.
        decree: Decree,
    },
    /// A vote.
    Accepted {
        /// The attempt.
        ballot: Ballot,
    },
    /// A majority has accepted.
    Decided(Decree),
    /// Asks how it went on after the message's view.
    Where,
    /// The sender's view, for those who cannot be told every step.
    Current {
        /// The sender's view.
        view: View,
        /// The last view of the one that is told, as the sender knew it.
        asked: ViewId,
    },
    /// The sender has given up the lineage of the message's view: a majority of it is lost for good.
    Gone,
    /// Asks to be admitted.
    Join {
        /// The nodes of the view that the newcomer and they both hear.
        hears: Vec<NodeId>,
    },
    /// What the sender takes the group to be, told to one who takes it for something else.
    Charter(Charter),
    /// Asks to be let go.
    Leave,
    /// The sender coordinates this side of a partitionable group.
    Side {
        /// Its view.
        view: View,
        /// Nodes beyond it that all of its members hear.
        reach: Vec<NodeId>,
        /// Names the sender's charter.
        charter: u64,
    },
    /// Tells the coordinator of one's side what one hears beyond it.
    Hears {
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// Asks the coordinator of another side to seal its view for a merge.
    AskOffer {
        /// The leader's attempt.
        ballot: Ballot,
    },
    /// The message's view is sealed for a merge.
    Offer {
        /// The leader's attempt.
        answers: Ballot,
        /// What the sender's side brings.
        offer: Offer,
    },
}

impl Body {
    /// All heads and payloads of the body, in batches: a shell takes them out before it encodes the
    /// rest, and puts them back after decoding.
    pub fn batches_mut(&mut self) -> Vec<&mut Batch> {
        match self {
            Self::Data { heads, batch, .. } => vec![heads, batch],
            Self::Direct { batch, .. } | Self::State { batch, .. } | Self::Part(Part { batch, .. }) => {
                vec![batch]
            }
            Self::Refill { frames, .. } => {
                frames.iter_mut().flat_map(|frame| [&mut frame.heads, &mut frame.batch]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Bytes that its messages count for.
    pub fn weight(&self) -> usize {
        match self {
            Self::Data { heads, batch, .. } => batch_weight(heads, batch),
            Self::Direct { batch, .. } | Self::State { batch, .. } | Self::Part(Part { batch, .. }) => {
                batch.iter().map(weight).sum()
            }
            Self::Refill { frames, .. } => frames.iter().map(Frame::weight).sum(),
            _ => 0,
        }
    }

    /// Whether its sender waits in the view it speaks of, so that it has to be told if that view
    /// has ended.
    pub(super) const fn waits_in_its_view(&self) -> bool {
        matches!(
            self,
            Self::Opinion { .. }
                | Self::Prepare { .. }
                | Self::Accept { .. }
                | Self::Confirm { .. }
                | Self::Learning { .. }
                | Self::Status { probe: true, .. }
        )
    }
}

impl Message {
    /// Whether the message belongs on a lane of its own, because there is much of it and nobody waits.
    pub const fn is_bulk(&self) -> bool {
        matches!(self.body, Body::State { .. })
    }

    /// Whether the message must not wait behind data.
    pub fn is_urgent(&self) -> bool {
        !matches!(
            self.body,
            Body::Data { .. }
                | Body::Part(_)
                | Body::Direct { .. }
                | Body::Refill { .. }
                | Body::State { .. }
        )
    }
}

/// The life of a member and the message it sent.
pub(crate) type Parcel = (Member, Message);
