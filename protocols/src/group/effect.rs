//! What goes into a group and what comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use quorate_membership::{Change, Member, NodeId, Seq, Side, Time, View, ViewId};

use super::{Audience, Collect, Collected, Message};
use crate::{Batch, RequestId, weight::batch_weight};

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
        /// What stands before the message, handed over beside it and not copied into it, such as where it
        /// was published; empty if nothing does. It counts as a part of the message.
        head: Bytes,
        /// The message.
        payload: Bytes,
    },
    /// Multicast messages that go out in one frame: no more than it takes, which is
    /// [`batch_bytes`](super::GroupConfig::batch_bytes), or a single longer one. What becomes of them is told once
    /// for all of them.
    SubmitAll {
        /// The submitter's name for them.
        ticket: Ticket,
        /// The messages, in their order.
        payloads: Batch,
    },
    /// The application sends to one member of the present view. Letters to one member are delivered
    /// in the order in which they were sent, in the view in which they were sent or not at all;
    /// they have no order with multicasts.
    SendTo {
        /// How its fate will be named.
        ticket: Ticket,
        /// The addressee, a data member of the present view.
        to: Member,
        /// The message.
        payload: Bytes,
    },
    /// The application asks, and collects answers under the ticket until `Effect::Collected`.
    Ask {
        /// Names the request; must not be that of a request whose answers are still collected.
        ticket: Ticket,
        /// Who is asked.
        to: Audience,
        /// The request.
        payload: Bytes,
        /// How many answers end the collection.
        collect: Collect,
    },
    /// The application answers a request that was delivered to it.
    Answer {
        /// Which request.
        request: RequestId,
        /// The answer.
        payload: Bytes,
    },
    /// The application wants no more answers to this request; what becomes of it stays untold.
    GiveUp {
        /// Which request.
        ticket: Ticket,
    },
    /// The application's state as it was at `Event::TakeSnapshot`. It is shared, not copied, and kept
    /// until the learners have it; it may be a mapped file. All members must hand over the same
    /// bytes, or a learner that changes its donor has to start over.
    Snapshot {
        /// The view of the event.
        view: ViewId,
        /// The state.
        state: Bytes,
    },
    /// The application does not hand over its state: the learners turn to other members.
    NoSnapshot {
        /// The view of the event.
        view: ViewId,
    },
    /// This node and another hear each other.
    Reachable(Member),
    /// They no longer do.
    Unreachable(NodeId),
    /// This process stood still. To be fed before anything that queued up meanwhile, so a shell looks
    /// ([`Stalls`](quorate_membership::Stalls)) before each input: nothing is delivered or
    /// acknowledged until a majority has said that the view still stands.
    Stalled,
    /// A node has left for good, or was declared down and is not linked: it need not be remembered. One
    /// that was reachable is reported as unreachable before.
    Departed(NodeId),
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
        /// What; boxed, since effects are moved often and most are short.
        message: Box<Message>,
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
    /// A member has answered a request.
    Answer {
        /// Which request.
        ticket: Ticket,
        /// Who answers.
        from: Member,
        /// The answer.
        payload: Bytes,
    },
    /// A member that was asked is in the view no longer: it will not answer.
    Absent {
        /// Which request.
        ticket: Ticket,
        /// Who is gone.
        member: Member,
    },
    /// The last word on a request.
    Collected {
        /// Which request.
        ticket: Ticket,
        /// How the collection ended.
        outcome: Collected,
    },
    /// Call again at this moment.
    WakeAt(Time),
}

impl Effect {
    /// The effect itself, or one for each message that it delivers.
    pub fn each(self) -> impl Iterator<Item = Self> {
        let (told, other) = match self {
            Self::Deliver(event) => (Some(event), None),
            other => (None, Some(other)),
        };
        told.into_iter().flat_map(Event::each).map(Self::Deliver).chain(other)
    }
}

/// A list of effects.
pub type Effects = Vec<Effect>;

/// What became of a submission that was accepted, be it one message or several, which is when [`Group::handle`] returned `Ok`.
///
/// A multicast gets `Uniform` and then `Everywhere`, a message to one member `Delivered`, or
/// either gets one of the two losses.
///
/// [`Group::handle`]: super::Group::handle
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fate {
    /// A majority of the view holds it and it was delivered here: it survives any view change.
    /// In a partitionable group all of the view hold it; told on the way into the next view, after
    /// [`Event::Transitional`], all who come along do, and deliver it.
    Uniform,
    /// Every member of the view holds it, or all that went on to the next. Comes after `Uniform`.
    Everywhere,
    /// The one member to whom it was sent has delivered it.
    Delivered,
    /// Nobody who stays in the group delivers it. In orders below uniform those who had to leave,
    /// this member among them, may have delivered it.
    Lost,
    /// This member had to leave without learning whether the others have it; or the view ended with
    /// it, but this member was removed before it could deliver it.
    Unknown,
}

/// What the application is told, in one stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Newcomers need the state: hand over what it is now, after the last message of the old view and
    /// before the view that follows, with [`Input::Snapshot`]. Messages may be handled meanwhile.
    TakeSnapshot {
        /// The view that begins.
        view: ViewId,
        /// For whom.
        learners: Vec<Member>,
    },
    /// State for this member, which is a newcomer. Views and messages follow when it is complete.
    Restore(Restore),
    /// A view begins; messages that follow belong to it. If its changes say that this member founded
    /// the group, the state starts empty.
    View(Arc<View>),
    /// A partitionable group: the view ends, and these members of it go on together, this one among
    /// them unless it is leaving. The rest of its messages follows, then the next view. What was
    /// delivered before this in uniform order all members of the view deliver, on whatever side,
    /// unless they crash; what follows it, only these.
    Transitional {
        /// The view that ends.
        closes: ViewId,
        /// Those who come along, in rank order.
        members: Vec<Member>,
    },
    /// A partitionable group: the view that has just begun joins several sides, whose members have
    /// seen different messages. Now is the time to exchange what the others lack.
    Merged {
        /// Which views were closed, and who came out of which. A side of one may be a newcomer.
        sides: Vec<Side>,
    },
    /// Several messages of one frame, each of which stands for an [`Event::Message`]; [`Event::each`] takes them
    /// apart.
    Messages(Messages),
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
        /// Whether every member that goes on delivers it, whatever happens next. Always so in uniform
        /// order; in a partitionable group, after [`Event::Transitional`], it speaks of those who come
        /// along to the next view. In a weaker order `false` says that it, or what caused it, may not
        /// be held by enough yet: if members die or are removed now, the others may go on without it.
        uniform: bool,
        /// What stands before the message; the bus has read it when an application gets the event, and
        /// leaves nothing.
        head: Bytes,
        /// The message.
        payload: Bytes,
    },
    /// A message from one member to this one alone.
    Direct {
        /// The view in which it was sent and is delivered.
        view: ViewId,
        /// Who sent it.
        from: Member,
        /// The message.
        payload: Bytes,
    },
    /// A request; answer it with [`Input::Answer`], at any time while its asker is in the view.
    Request {
        /// The view in which it was sent and is delivered.
        view: ViewId,
        /// Names the request in the answer, and says who asks.
        request: RequestId,
        /// Frame and place in it, as for a message, if the request was multicast.
        place: Option<(Seq, u32)>,
        /// The request.
        payload: Bytes,
    },
    /// A node takes the group for another one than this node does, so they do not get into one view.
    /// Told each time that the node comes into reach, and once.
    Stranger {
        /// The node.
        member: Member,
        /// What differs, in words.
        differs: String,
    },
    /// A member has held the others back for half of the time that the group's limits allow.
    Lagging {
        /// The member.
        member: Member,
        /// Bytes that a majority of the others has and it lacks.
        bytes: usize,
        /// Since when it lags.
        since: Time,
        /// When the group's policy acts; `None` if the others wait for it however long it takes.
        policy_acts_at: Option<Time>,
    },
    /// It has made up for it.
    CaughtUp {
        /// The member.
        member: Member,
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
        /// Why that view is without it; `None` if it is not known, or if nobody removed it and it starts
        /// anew because it lacks too much.
        reason: Option<Change>,
    },
    /// A majority of the members was lost for good, and with it the group's memory.
    LineageLost,
    /// This member has left, as it asked.
    Left,
}

/// The messages of a frame, as they are delivered: each stands for an [`Event::Message`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Messages {
    /// The view in which they were sent and are delivered.
    pub view: ViewId,
    /// Who sent them.
    pub sender: Member,
    /// The frame that they came in.
    pub seq: Seq,
    /// See [`Event::Message`].
    pub uniform: bool,
    /// What stands before each of them; none if nothing stands before any.
    pub heads: Batch,
    /// The messages, in their order.
    pub batch: Batch,
}

impl Messages {
    /// One of them, by its place.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn at(&self, index: u32) -> Event {
        let Self { view, sender, seq, uniform, heads, batch } = self;
        Event::Message {
            view: *view,
            sender: *sender,
            seq: *seq,
            index,
            uniform: *uniform,
            head: heads.get(index as usize).cloned().unwrap_or_default(),
            payload: batch[index as usize].clone(),
        }
    }

    /// Bytes that they count for.
    pub fn weight(&self) -> usize {
        batch_weight(&self.heads, &self.batch)
    }
}

impl Event {
    /// The event itself, or each of its messages.
    pub fn each(self) -> impl Iterator<Item = Self> {
        let (one, many) = match self {
            Self::Messages(messages) => (None, Some(messages)),
            one => (Some(one), None),
        };
        let each = |messages: Messages| (0..messages.batch.len() as u32).map(move |index| messages.at(index));
        one.into_iter().chain(many.into_iter().flat_map(each))
    }
}

/// State of the group for a newcomer, in the order of its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Restore {
    /// State will come. Forget any that came before, and mark what is being filled as incomplete.
    Begin {
        /// The view at whose beginning it was.
        view: ViewId,
        /// Its length in bytes.
        length: u64,
    },
    /// The next bytes.
    Bytes(Bytes),
    /// That was all, and it is intact: take the mark away.
    End,
}

/// Why a group stands still here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WedgeReason {
    /// This member does not reach a majority of the view.
    NoMajority,
    /// This process stood still, and does not know yet whether its view is still current.
    Stalled,
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
    /// The message is longer than the group carries. Split it.
    #[error("a message of {size} bytes is longer than the {max} bytes that the group carries; split it")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// The bound.
        max: usize,
    },
    /// The addressee is no data member of the present view, or there is no view.
    #[error("{member} is not in the present view; look at the last view and send to its members")]
    NotHere {
        /// The addressee.
        member: Member,
    },
    /// A request of this name is still being answered. Take another ticket.
    #[error("request {} is still being answered; take another ticket", .0.0)]
    TicketInUse(Ticket),
    /// So many requests wait for answers already. Ask again once some have ended.
    #[error("{max} requests wait for answers already; ask again once some have ended")]
    TooManyRequests {
        /// The bound.
        max: usize,
    },
    /// This member has left the group. Join again to go on.
    #[error("this member has left the group")]
    Left,
    /// Messages without one among them. Submit at least one.
    #[error("there is no message among what is submitted: submit at least one")]
    Empty,
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
    /// The peer takes the group for another one. Give all members the same settings.
    #[error("{from} is set up for another group of that name; both sides say what differs")]
    OtherCharter {
        /// The peer.
        from: Member,
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
