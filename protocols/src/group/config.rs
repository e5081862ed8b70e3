//! What all members of a group agree on.

use std::time::Duration;

use quorate_membership::{GroupId, NodeId, Timing, ViewId, agreement::Breach};

use super::Charter;
use crate::{Order, SlowPolicy};

/// A group's settings.
///
/// Members with other orders, founders, witnesses, `state_transfer`, `partitionable` or `application`
/// do not get into one group: both sides are told what differs ([`Event::Stranger`]). The rest may
/// differ, as far as it makes sense.
///
/// [`Event::Stranger`]: super::Event::Stranger
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// Which group this is.
    pub group: GroupId,
    /// The nodes that found the group; a majority of them and of the witnesses together decides
    /// the first view. A node that is not among them joins later.
    pub founders: Vec<NodeId>,
    /// Founding nodes that vote on views and hold no data.
    pub witnesses: Vec<NodeId>,
    /// The order of delivery. Default: uniform.
    pub order: Order,
    /// All time-outs, derived from one detection time.
    pub timing: Timing,
    /// Bytes of one's own messages that wait or that some member may still lack; each counts for at
    /// least 64. At the bound
    /// submissions are refused. Default 8 MiB; more hides longer round trips and costs memory at
    /// every member.
    pub window_bytes: usize,
    /// Bytes of messages at which a frame is closed. Default 64 KiB: larger ones gain nothing.
    pub batch_bytes: usize,
    /// Own frames on the way at once. Default 16: while they are, further messages gather in the
    /// next frame, so that batches grow with the load. Of four, others say of one that they have it, and of each after
    /// which nothing follows. With fewer a sender of long messages waits for
    /// acknowledgements, with more messages wait longer at their receivers.
    pub frames_in_flight: u64,
    /// A longer frame travels in parts of so many bytes. Default 512 KiB.
    pub part_bytes: usize,
    /// Own frames of so many bytes go from member to member, each of which hands on every part to the next by rank
    /// before it has the rest, where there are three receivers or more: their sender sends each byte once.
    /// `None`: never. Default 1 MiB: it is worth it where what a node can send is the limit, and shorter
    /// frames arrive sooner directly.
    pub relay_bytes: Option<usize>,
    /// Bytes of messages to one other member that it has not acknowledged. At the bound messages to
    /// it are refused. Default 4 MiB; it is counted per addressee, beside `window_bytes`.
    pub direct_window_bytes: usize,
    /// The longest message, in bytes. Default and maximum 64 MiB: a message travels in one frame,
    /// and that is what the transport carries. One longer than the window passes when nothing waits.
    pub message_bytes_max: usize,
    /// Own requests whose answers are collected at once. Default 1024.
    pub requests_max: usize,
    /// What happens to a member that lags. Default: the others wait for it.
    pub slow: SlowPolicy,
    /// A member lags while it is more than so many bytes behind what a majority of the others has,
    /// or has not received within `lag_for` what they had. Default 512 KiB: half of what one sender
    /// has on the way with the defaults of `batch_bytes` and `frames_in_flight`, so that a member
    /// never less behind is the one that everybody's window waits for. Above what all senders
    /// together have on the way it never applies, and neither in a view of two data members.
    pub lag_bytes_max: usize,
    /// How long a member may lag before `slow` applies. Default 5 s; must exceed the detection time,
    /// or an unreachable member is taken for a slow one. It is also the first back-off of a member
    /// that was too slow; each further one doubles, up to 64 times.
    pub lag_for: Duration,
    /// Bytes of each sender's frames that are kept for learners alone. Default 16 MiB: a learner
    /// further behind starts anew.
    pub learner_bytes_max: usize,
    /// Whether newcomers get the application's state. Default: no; they begin with the messages of
    /// the view that admits them.
    ///
    /// If so, they are admitted as learners, members are asked for snapshots, and every member must
    /// answer [`Event::TakeSnapshot`](super::Event::TakeSnapshot).
    pub state_transfer: bool,
    /// Bytes of a snapshot in one message. Default 256 KiB, within one frame of the transport; four
    /// are on the way at once.
    pub snapshot_chunk_bytes: usize,
    /// The longest state, in bytes. Default 1 GiB.
    pub snapshot_bytes_max: usize,
    /// Bytes of messages that a newcomer holds back until its state is complete. Default 256 MiB;
    /// beyond it starts over with a newer snapshot.
    pub held_back_bytes_max: usize,
    /// Whether each side of a partition goes on, however small, with a view of its own, and sides
    /// merge when they hear each other again. Default: no; a majority goes on and the rest waits.
    ///
    /// If so, every member begins alone and nobody waits for founders; two sides may have different
    /// views at the same time, and what they did meanwhile is the application's to reconcile. Uniform
    /// order then means that *all* of the view hold a message, so that no side lacks what another
    /// has delivered: one silent member delays deliveries until the view without it.
    pub partitionable: bool,
    /// A digest of what else all members must agree on, such as how payloads are to be read. Default: 0.
    pub application: u64,
    /// A rule to break on purpose, for tests of the tests.
    #[doc(hidden)]
    pub breach: Option<Breach>,
}

impl GroupConfig {
    /// The settings of a group in uniform order with these founders, and defaults for the rest.
    pub fn new(group: GroupId, founders: Vec<NodeId>) -> Self {
        Self {
            group,
            founders,
            witnesses: Vec::new(),
            order: Order::Uniform,
            timing: Timing::DEFAULT,
            window_bytes: 8 << 20,
            batch_bytes: 64 << 10,
            frames_in_flight: 16,
            part_bytes: 512 << 10,
            relay_bytes: Some(1 << 20),
            direct_window_bytes: 4 << 20,
            message_bytes_max: 64 << 20,
            requests_max: 1024,
            slow: SlowPolicy::Block,
            lag_bytes_max: 512 << 10,
            lag_for: Duration::from_secs(5),
            learner_bytes_max: 16 << 20,
            state_transfer: false,
            snapshot_chunk_bytes: 256 << 10,
            snapshot_bytes_max: 1 << 30,
            held_back_bytes_max: 256 << 20,
            partitionable: false,
            application: 0,
            breach: None,
        }
    }

    /// The view before the first one. It is named after what all members must agree on.
    pub fn genesis(&self) -> ViewId {
        Charter::of(self).genesis()
    }

    /// Whether these settings make sense together.
    ///
    /// # Errors
    /// [`SpecError`] says which do not.
    pub fn check(&self) -> Result<(), SpecError> {
        if !self.partitionable {
            return Ok(());
        }
        if !self.witnesses.is_empty() {
            return Err(SpecError::Witnesses);
        }
        if self.state_transfer {
            return Err(SpecError::StateTransfer);
        }
        if self.slow != SlowPolicy::Block {
            return Err(SpecError::SlowPolicy);
        }
        Ok(())
    }
}

/// Settings of a group that contradict each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// There is no majority for them to complete.
    #[error("a partitionable group needs no majority, so witnesses have nothing to vote on: name none")]
    Witnesses,
    /// Sides have states of their own, so there is not one that a newcomer could get.
    #[error(
        "members of a partitionable group exchange their states when sides merge: turn state transfer off"
    )]
    StateTransfer,
    /// Who is put out begins a side of its own, and would merge again at once.
    #[error("a partitionable group has no other policy for slow members than to wait for them: choose block")]
    SlowPolicy,
}
