//! One group at one node: views, agreement and order joined into one state machine.
//!
//! The shell feeds inputs with [`Group::handle`], any number of them, then calls
//! [`Group::flush`] once: batching comes from what has queued up, never from a delay.

mod asking;
mod charter;
mod closing;
mod config;
mod contacts;
mod direct;
mod dispatch;
mod doubt;
mod effect;
mod entry;
mod evidence;
mod lag;
mod learning;
mod leaving;
mod lineage;
mod lives;
mod merging;
mod message;
mod past;
mod posting;
mod refilling;
mod relaying;
mod sanity;
mod sealing;
mod sides;
mod ticks;
mod traffic;
mod transferring;
mod untold;
mod waits;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use quorate_membership::{
    Decree, Member, NodeId, Seq, Time, View, ViewId,
    agreement::{Acceptor, Ballot},
};

pub use asking::{Audience, Collect, Collected};
pub use charter::Charter;
pub use config::{GroupConfig, SpecError};
pub use effect::{Effect, Effects, Event, Fate, Input, Messages, Refusal, Restore, Ticket, WedgeReason};
pub use lag::{Frontier, NotASlowPolicy, SlowPolicy};
pub use leaving::Legacy;
pub use merging::Offer;
pub use message::{Body, Gap, Message};
pub use waits::Wait;

use crate::{Batch, stream::Stream};
use asking::Asking;
use charter::Stranger;
use closing::Attempt;
use contacts::Contacts;
use direct::Directs;
use doubt::Doubt;
use entry::Joiner;
use evidence::Opinion;
use lag::Lags;
use lives::Lives;
use message::Parcel;
use past::Past;
use refilling::Refills;
use relaying::Relaying;
use sides::Sides;
use transferring::Transfers;
use untold::Untold;

/// Lineages that are remembered after another one has taken their place.
const FORMER_LINEAGES_MAX: usize = 32;

/// Multicasts under one name that wait for their frame.
#[derive(Debug)]
struct Submission {
    ticket: Ticket,
    /// What stands before the message.
    head: Bytes,
    payloads: Batch,
    /// Whether answers to it are collected.
    asks: bool,
}

/// What the coordinator of an attempt asked this member to hold.
#[derive(Debug)]
struct HoldRequest {
    ballot: Ballot,
    asker: NodeId,
    decree: Decree,
}

/// A group as one of its members sees it.
///
/// Invariants: (G1) `stream` is there exactly if this member is a data member of a view past the
/// genesis; (G2) after its promise a member sends neither data nor rows in that view; (G3) views
/// are installed in epoch order, each only from its proof of decision.
#[derive(Debug)]
pub struct Group {
    config: GroupConfig,
    charter: Charter,
    /// The view before the first, named after the charter.
    genesis: ViewId,
    strangers: BTreeMap<NodeId, Stranger>,
    me: Member,
    now: Time,
    /// `None`: outside, wanting in.
    view: Option<View>,
    left: bool,
    stream: Option<Stream>,
    acceptor: Acceptor,
    /// When the view was sealed here.
    sealed_at: Option<Time>,
    highest_round: u64,
    attempt: Option<Attempt>,
    not_before: Time,
    hold: Option<HoldRequest>,
    /// Decided, and waiting for what is missing under its cut.
    installing: Option<(Decree, Time)>,
    past: VecDeque<Past>,
    /// Members of the view from which something was heard in it.
    seen: BTreeSet<NodeId>,
    early: Vec<Parcel>,
    early_bytes: usize,
    outbox: VecDeque<Submission>,
    outbox_bytes: usize,
    until_uniform: VecDeque<(Seq, Ticket)>,
    until_everywhere: VecDeque<(Seq, Ticket)>,
    directs: Directs,
    asks: BTreeMap<Ticket, Asking>,
    lags: Lags,
    transfers: Transfers,
    refills: Refills,
    relaying: Relaying,
    /// Learners that have caught up, and when they said so.
    ready: BTreeMap<Member, Time>,
    /// The learners of the view, and since when they learn as seen here.
    learning: BTreeMap<Member, Time>,
    row_due: bool,
    wedged: bool,
    /// Whether no majority of the view is in reach.
    alone: bool,
    /// Since a stall, or since it was alone: whether the view still stands is not known.
    doubt: Option<Doubt>,
    /// Questions asked about that so far.
    doubts: u64,
    lives: Lives,
    reachable: BTreeSet<NodeId>,
    lost_since: BTreeMap<NodeId, Time>,
    /// Whom the others take for lost by this member, as it has said in this view.
    said_lost: BTreeSet<NodeId>,
    /// Nodes that were reported out of reach and not heard since.
    silent: BTreeSet<NodeId>,
    /// Participants of the view of which neither was reported, and from when on they count as lost.
    unheard: BTreeMap<NodeId, Time>,
    opinions: BTreeMap<NodeId, Opinion>,
    joiners: BTreeMap<NodeId, Joiner>,
    untold: BTreeMap<Member, Untold>,
    leaving: BTreeSet<Member>,
    wants_out: bool,
    contacts: Contacts,
    /// The latest view entered, or known to go on without this member.
    floor: ViewId,
    /// The same of other lineages, the latest last: what repeats of theirs say is old, too.
    former_floors: VecDeque<ViewId>,
    /// While outside, and after having left: the latest view known to have gone on without this member.
    known: Option<View>,
    /// The lineages that this member has given up, the latest last.
    given_up: VecDeque<u64>,
    /// Other sides of a partitionable group.
    sides: Sides,
    /// Members that have said that they will never vote in this view or an earlier one; in a
    /// partitionable group, members that have gone another way.
    gone: BTreeMap<Member, ViewId>,
    born: Time,
    /// When the view was entered, or since when there is none.
    entered: Time,
    next_tick: Option<Time>,
    /// By how much the last one was late.
    late: Duration,
    loopback: VecDeque<Message>,
}

impl Group {
    /// Starts this node's part in a group: as a founder if it is declared as one, else as a
    /// newcomer that asks its contacts to be admitted.
    pub fn new(config: GroupConfig, me: Member, now: Time) -> Self {
        let contacts = Contacts::new(me.node, config.founders.iter().chain(&config.witnesses).copied());
        let charter = Charter::of(&config);
        let genesis = charter.genesis();
        let mut group = Self {
            acceptor: Acceptor::new(config.breach),
            config,
            charter,
            genesis,
            strangers: BTreeMap::new(),
            me,
            now,
            view: None,
            left: false,
            stream: None,
            sealed_at: None,
            highest_round: 0,
            attempt: None,
            not_before: Time::ZERO,
            hold: None,
            installing: None,
            past: VecDeque::new(),
            seen: BTreeSet::new(),
            early: Vec::new(),
            early_bytes: 0,
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            until_uniform: VecDeque::new(),
            until_everywhere: VecDeque::new(),
            directs: Directs::default(),
            asks: BTreeMap::new(),
            lags: Lags::default(),
            transfers: Transfers::default(),
            refills: Refills::default(),
            relaying: Relaying::default(),
            ready: BTreeMap::new(),
            learning: BTreeMap::new(),
            row_due: false,
            wedged: false,
            alone: false,
            doubt: None,
            doubts: 0,
            lives: Lives::default(),
            reachable: BTreeSet::new(),
            lost_since: BTreeMap::new(),
            said_lost: BTreeSet::new(),
            silent: BTreeSet::new(),
            unheard: BTreeMap::new(),
            opinions: BTreeMap::new(),
            joiners: BTreeMap::new(),
            untold: BTreeMap::new(),
            leaving: BTreeSet::new(),
            wants_out: false,
            contacts,
            floor: genesis,
            former_floors: VecDeque::new(),
            known: None,
            given_up: VecDeque::new(),
            sides: Sides::default(),
            gone: BTreeMap::new(),
            born: now,
            entered: now,
            next_tick: None,
            late: Duration::ZERO,
            loopback: VecDeque::new(),
        };
        group.lives.meet(me);
        group.enter_genesis();
        group
    }

    /// Feeds one input. Call [`Self::flush`] after the last of a batch.
    ///
    /// # Errors
    /// A [`Refusal`] says who is to blame; the group is as it was before.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Effects) -> Result<(), Refusal> {
        self.now = now;
        let done = match input {
            Input::Received { from, .. } if from.node == self.me.node => {
                Err(Refusal::Faulty { from, what: "it has the name of this node".to_owned() })
            }
            Input::Received { from, message } => self.on_message(from, message, out),
            Input::Submit { ticket, head, payload } => self.on_submit(ticket, head, payload),
            Input::SubmitAll { ticket, payloads } => self.on_submit_all(ticket, payloads),
            Input::SendTo { ticket, to, payload } => self.on_send_to(ticket, to, payload),
            Input::Ask { ticket, to, payload, collect } => self.on_ask(ticket, to, payload, collect),
            Input::Answer { request, payload } => self.on_answer(request, payload),
            Input::Snapshot { view, state } => self.on_snapshot(view, state, out),
            Input::NoSnapshot { view } => {
                self.on_no_snapshot(view);
                Ok(())
            }
            Input::GiveUp { ticket } => {
                self.on_give_up(ticket);
                Ok(())
            }
            Input::Reachable(member) => {
                self.on_reachable(member, out);
                Ok(())
            }
            Input::Unreachable(node) => {
                self.on_unreachable(node, out);
                Ok(())
            }
            Input::Contacts(nodes) => {
                self.contacts.add(nodes);
                Ok(())
            }
            Input::Departed(node) => {
                self.on_departed(node);
                Ok(())
            }
            Input::Stalled => {
                self.on_stalled(out);
                Ok(())
            }
            Input::Leave => {
                self.on_leave(out);
                Ok(())
            }
            Input::Wake => {
                self.on_wake(out);
                Ok(())
            }
        };
        self.drain_loopback(out);
        done
    }

    /// Delivers what may be delivered, sends what has gathered, and asks for the next wake.
    pub fn flush(&mut self, now: Time, out: &mut Effects) {
        self.now = now;
        self.forget_departed();
        if self.config.partitionable && self.view.is_none() && !self.left {
            self.begin_alone(out);
        }
        self.consider(out);
        self.drain_loopback(out);
        self.fetch_hole(out);
        self.deliver(out);
        self.send_frames(out);
        self.send_row(out);
        self.send_letters(out);
        self.drain_loopback(out);
        self.settle_fates(out);
        let at = self.now + self.pause();
        if self.next_tick.is_none_or(|next| at < next) && self.needs_tick() {
            self.next_tick = Some(at);
            out.push(Effect::WakeAt(at));
        }
    }

    /// The present view; `None` while outside the group, the genesis while it is being founded.
    pub const fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// Who this member is.
    pub const fn me(&self) -> Member {
        self.me
    }

    /// Whether deliveries stand still: no majority is in reach, or this process stood still and does
    /// not know yet whether its view is still current.
    pub const fn is_wedged(&self) -> bool {
        self.wedged
    }

    /// Whether this node and another hear each other, as far as the group was told.
    pub fn hears(&self, node: NodeId) -> bool {
        self.reachable.contains(&node)
    }

    /// Per data member of the present view, in rank order, the last frame held here without a gap;
    /// `None` for who is no data member of a view.
    pub fn holdings(&self) -> Option<Vec<Seq>> {
        self.stream.as_ref().map(Stream::holdings)
    }

    /// Whether the view is being closed here.
    pub const fn is_sealed(&self) -> bool {
        self.acceptor.is_sealed()
    }

    /// Whether this member has left.
    pub const fn has_left(&self) -> bool {
        self.left
    }

    /// Bytes that may still be submitted before the window is full.
    pub fn room(&self) -> usize {
        self.config.window_bytes.saturating_sub(self.waiting_bytes())
    }

    fn waiting_bytes(&self) -> usize {
        self.outbox_bytes + self.stream.as_ref().map_or(0, Stream::unfreed_bytes)
    }

    fn view_id(&self) -> ViewId {
        self.view.as_ref().map_or(self.genesis, |view| view.id)
    }

    /// Whether this member may send and acknowledge in its view.
    fn is_open(&self) -> bool {
        !self.is_sealed() && self.installing.is_none()
    }
}
