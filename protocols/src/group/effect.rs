//! What goes into a group and what comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use quorate_membership::{Member, NodeId, Seq, Time, View, ViewId};

use super::Message;

/// Names a submission; the submitter chooses it and finds it in the fate.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// Something that happens to a group.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A message has arrived from a member in this life.
    Received {
        /// Who sent it, as its link says.
        from: Member,
        /// What it sent.
        message: Message,
    },
    /// The application multicasts.
    Submit {
        /// How its fate will be named.
        ticket: Ticket,
        /// The message.
        payload: Bytes,
    },
    /// This node and another hear each other.
    Reachable(Member),
    /// They no longer do.
    Unreachable(NodeId),
    /// Nodes that may know of the group.
    Contacts(Vec<NodeId>),
    /// The application leaves.
    Leave,
    /// A moment that was asked for has come; late, twice or for nothing does no harm.
    Wake,
}

/// Something that a group wants done, in the order in which it is pushed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Send a message.
    Send {
        /// To whom.
        to: Arc<[NodeId]>,
        /// What.
        message: Message,
    },
    /// Tell the application.
    Deliver(Event),
    /// Tell the submitter.
    Fate {
        /// Which submission.
        ticket: Ticket,
        /// What became of it.
        fate: Fate,
    },
    /// Call again at this moment.
    WakeAt(Time),
}

/// A list of effects.
pub type Effects = Vec<Effect>;

/// What became of a submission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fate {
    /// A majority of the view holds it and it was delivered here: it survives any view change.
    Uniform,
    /// Every member of the view holds it. Comes after `Uniform`.
    Everywhere,
    /// It is not and will not be delivered to anybody: this member had to leave before.
    Lost,
    /// This member had to leave without learning whether the others have it.
    Unknown,
}

/// What the application is told, in one stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A view begins; messages that follow belong to it.
    View(Arc<View>),
    /// A message.
    Message {
        /// The view in which it was sent and is delivered.
        view: ViewId,
        /// Who sent it.
        sender: Member,
        /// The frame it came in; with `index` it names the message within view and sender.
        seq: Seq,
        /// Its place in the frame.
        index: u32,
        /// The message.
        payload: Bytes,
    },
    /// Deliveries stop and submissions wait until `Resumed`, or until the group went on without
    /// this member (`Removed`).
    Wedged(WedgeReason),
    /// Deliveries go on in the same view.
    Resumed,
    /// The group goes on without this member, which joins again by itself.
    Removed {
        /// The view without it, or the last one it knew if it lost touch for long.
        view: ViewId,
    },
    /// A majority of the members was lost for good, and with it the group's memory.
    LineageLost,
    /// This member has left, as it asked.
    Left,
}

/// Why a group stands still here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WedgeReason {
    /// This member does not reach a majority of the view.
    NoMajority,
}

/// Why an input was refused. The group is unchanged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The window is full. Submit again once fates have come in.
    #[error("{waiting} bytes of messages wait to be held by all; the window is {window} bytes")]
    WouldBlock {
        /// Bytes that wait.
        waiting: usize,
        /// The bound.
        window: usize,
    },
    /// This member has left the group. Join again to go on.
    #[error("this member has left the group")]
    Left,
    /// A witness holds no data, so it sends none. Submit through a data member.
    #[error("a witness does not send messages")]
    Witness,
    /// A peer sent what no correct peer sends.
    #[error("{from} sent what no correct member sends: {what}")]
    Faulty {
        /// The peer.
        from: Member,
        /// What was wrong.
        what: String,
    },
    /// The sender is not in the view it speaks of, in the life it has.
    #[error("{from} is not a member of {view}")]
    NotMember {
        /// The sender.
        from: Member,
        /// The view.
        view: ViewId,
    },
}
