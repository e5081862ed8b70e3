//! One group at one node, as an actor: the only place that touches the group's core.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{Member, Time, ViewId};
use quorate_protocols::{
    self as protocols, Effects, Input, Legacy, Refusal, Ticket,
    bus::{Marks, MarksRefused, PublisherId},
};
use tokio::sync::mpsc;

use super::{
    Asker, Keeper, Outlet, Publication, SendError,
    asking::Step,
    bound::{Bound, Learnt},
    events::{EventFeed, Shown},
    figures::Delivered,
    intake::{Intake, Submission},
    perform::spare,
    record::Records,
    returned::Orphans,
    waiting::Waiting,
    withheld::Withheld,
};
use crate::{
    bus::{HandOut, PublishError},
    clock::Clock,
    config::GroupSpec,
    node::{Canary, GroupLeft, Pulse},
    wire::Malformed,
};

/// Inputs that may wait for the actor.
const MAILBOX_MAX: usize = 1024;

/// What a node gives each of its groups.
pub(crate) struct Host {
    /// The node in its present life, and under which name it publishes here.
    pub(crate) own: PublisherId,
    /// What it has to keep in mind of its last stay.
    pub(crate) legacy: Option<Legacy>,
    /// Where the application hands over what it multicasts.
    pub(crate) intake: Intake,
    pub(crate) clock: Clock,
    /// Tells whether the process stood still.
    pub(crate) pulse: Pulse,
    /// Where messages to other nodes go.
    pub(crate) outlet: Rc<dyn Outlet>,
    /// Who hears that the node has left the group.
    pub(crate) node: Recipient<GroupLeft>,
}

/// The group's actor. Effects are carried out in `perform.rs`.
pub(crate) struct Replication {
    pub(crate) group: protocols::Group,
    pub(crate) spec: Arc<GroupSpec>,
    pub(crate) clock: Clock,
    pulse: Pulse,
    pub(crate) outlet: Rc<dyn Outlet>,
    /// What the application multicasts.
    pub(super) intake: Intake,
    /// The list that is exchanged for what has gathered there.
    taken: Vec<Submission>,
    /// Empty while no effects are carried out; kept for the room that it has.
    pub(super) effects: Effects,
    pub(crate) readers: Vec<EventFeed>,
    /// What they are shown next.
    pub(super) shown: Vec<Shown>,
    /// What they do not get yet.
    pub(super) withheld: Withheld,
    /// The application that keeps the state, in a group with state.
    pub(crate) keeper: Option<Keeper>,
    pub(crate) askers: BTreeMap<Ticket, Asker>,
    /// Who collects answers; the core bounds how many do.
    pub(crate) collecting: BTreeMap<Ticket, mpsc::UnboundedSender<Step>>,
    pub(crate) waiting: Waiting,
    pub(crate) bound: Option<Bound>,
    /// Where queue groups get what this node has published to the group.
    pub(crate) bus: Option<Recipient<HandOut>>,
    /// Who hears that this node has left.
    pub(crate) node: Recipient<GroupLeft>,
    /// Publications whose fate is known before it is known whether they came twice.
    pub(crate) undecided: Vec<Publication>,
    /// What this node itself has published in vain, since it has left.
    pub(crate) orphans: Orphans,
    /// Whether this member went outside, so that nobody here will know.
    pub(crate) settle_due: bool,
    pub(crate) pump_due: bool,
    pub(crate) admit_due: bool,
    pub(crate) records: Records,
    pub(crate) delivered: u64,
    /// Those that are not in the figures yet.
    pub(super) delivered_now: Delivered,
    /// When this member's standing began: outside, standing still for want of a majority, or taking part.
    pub(crate) standing_since: Time,
    /// Since when submissions have waited for the window without a pause.
    pub(crate) full_since: Option<Time>,
    next_ticket: u64,
    flush_due: bool,
    canary: Canary,
}

impl Actor for Replication {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        if let Some(keeper) = &self.keeper {
            keeper.watch(ctx.address());
        }
        self.flush_soon(ctx);
    }
}

impl Drop for Replication {
    fn drop(&mut self) {
        self.intake.close();
        for asker in std::mem::take(&mut self.askers).into_values() {
            asker.fail(&SendError::Stopped);
        }
        self.waiting.fail_all(&SendError::Stopped);
        self.orphans.fail_all();
        self.undecided.drain(..).for_each(|it| it.done.tell(Err(PublishError::Stopped)));
    }
}

impl Replication {
    pub(crate) fn new(
        spec: Arc<GroupSpec>,
        host: Host,
        bus: Option<Recipient<HandOut>>,
        keeper: Option<Keeper>,
        canary: Canary,
    ) -> Self {
        let Host { own, legacy, intake, clock, pulse, outlet, node } = host;
        Self {
            group: match legacy {
                Some(legacy) => protocols::Group::rejoin(spec.config().clone(), legacy, clock.now()),
                None => protocols::Group::new(spec.config().clone(), own.member, clock.now()),
            },
            bound: spec
                .history_bytes()
                .map(|bytes| Bound::new(spec.id(), own, !spec.subjects().is_empty(), bytes)),
            bus,
            node,
            spec,
            clock,
            pulse,
            outlet,
            intake,
            taken: Vec::new(),
            effects: Vec::new(),
            readers: Vec::new(),
            shown: Vec::new(),
            delivered_now: Delivered::default(),
            withheld: Withheld::default(),
            keeper,
            askers: BTreeMap::new(),
            collecting: BTreeMap::new(),
            waiting: Waiting::default(),
            undecided: Vec::new(),
            orphans: Orphans::default(),
            settle_due: false,
            pump_due: false,
            admit_due: false,
            records: Records::default(),
            delivered: 0,
            standing_since: clock.now(),
            full_since: None,
            next_ticket: 0,
            flush_due: false,
            canary,
        }
    }

    /// Whatever queued up while the process stood still comes after the news that it did.
    fn look_for_a_stall(&mut self, ctx: &mut Context<Self>) {
        if self.pulse.stood_still() {
            let done = self.act(ctx, |group, now, out| group.handle(now, Input::Stalled, out));
            debug_assert!(done.is_ok(), "a stall is never refused");
            self.flush_soon(ctx);
        }
    }

    pub(crate) fn drive(&mut self, input: Input, ctx: &mut Context<Self>) {
        if let Err(refusal) = self.submit(input, ctx) {
            metrics::counter!("quorate_group_refusals_total").increment(1);
            tracing::debug!(%refusal, "an input was refused");
        }
    }

    /// Takes in what a peer says; an error if no correct member says that.
    fn hear(
        &mut self,
        from: Member,
        message: protocols::Message,
        ctx: &mut Context<Self>,
    ) -> Result<(), Malformed> {
        match self.submit(Input::Received { from, message }, ctx) {
            Err(refusal @ Refusal::Faulty { .. }) => {
                tracing::warn!(%refusal, "a member does not follow the rules");
                Err(Malformed("group"))
            }
            Err(refusal) => {
                metrics::counter!("quorate_group_refusals_total").increment(1);
                tracing::debug!(%refusal, "a message was refused");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    // What was notified runs after the mailbox was drained: the batch is what had queued up.
    fn flush_soon(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.flush_due, true) {
            ctx.notify(Flush);
        }
    }

    pub(crate) fn admit_soon(&mut self, ctx: &mut Context<Self>) {
        self.admit_due = true;
        self.flush_soon(ctx);
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        self.look_for_a_stall(ctx);
        self.flush_due = false;
        self.admit(ctx);
        self.act(ctx, protocols::Group::flush);
        if std::mem::take(&mut self.pump_due)
            && let Some(bound) = &mut self.bound
        {
            bound.pump_all();
        }
        // The fates that came may have opened the window or sent something back.
        if self.admit_due || !self.waiting.is_empty() && self.group.room() > 0 {
            self.admit(ctx);
        }
    }

    pub(super) fn stop(&mut self, ctx: &mut Context<Self>) {
        self.canary.disarm();
        ctx.stop();
    }

    /// A name for the next submission.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Feeds an input whose refusal matters to somebody.
    pub(crate) fn submit(&mut self, input: Input, ctx: &mut Context<Self>) -> Result<(), Refusal> {
        self.look_for_a_stall(ctx);
        let done = self.act(ctx, |group, now, out| group.handle(now, input, out));
        self.flush_soon(ctx);
        done
    }

    /// Submits what waits, oldest first, as far as the window allows.
    pub(crate) fn admit(&mut self, ctx: &mut Context<Self>) {
        self.admit_due = false;
        if self.waiting.is_empty() {
            self.full_since = None;
            return;
        }
        let (now, mut effects) = (self.clock.now(), std::mem::take(&mut self.effects));
        let (mut is_full, mut accepted) = (false, false);
        while let Some(asker) = self.waiting.pop() {
            let ticket = self.ticket();
            match self.group.handle(now, asker.input(ticket), &mut effects) {
                Ok(()) => {
                    self.askers.insert(ticket, asker.accepted());
                    accepted = true;
                }
                Err(Refusal::WouldBlock { waiting, .. }) if waiting > 0 => {
                    self.waiting.push_back_to_front(asker);
                    is_full = true;
                    break;
                }
                Err(refusal) => match (asker, refusal) {
                    (Asker::Publisher(publication), Refusal::Left) => {
                        self.orphan(*publication, PublishError::Left);
                    }
                    (asker, refusal) => asker.fail(&refusal.into()),
                },
            }
        }
        self.perform(&mut effects, ctx);
        self.effects = spare(effects);
        if accepted {
            self.flush_soon(ctx);
        }
        self.full_since = is_full.then(|| self.full_since.unwrap_or(now));
    }

    /// Takes one in that the application has handed over; it waits for its turn.
    fn take_in(&mut self, submission: Submission, ctx: &mut Context<Self>) {
        let Submission { payloads, progress, wait } = submission;
        let limit = self.intake.payload_bytes_max;
        let longest = payloads.iter().map(Bytes::len).max().unwrap_or_default();
        if longest > limit {
            return progress.fail(SendError::TooLarge { bytes: longest, limit });
        }
        let bytes = payloads.iter().map(Bytes::len).sum();
        if !self.waiting.has_room(payloads.len(), bytes) {
            self.admit(ctx);
        }
        if !self.waiting.has_room(payloads.len(), bytes) {
            return progress.fail(SendError::Busy(self.waiting.len()));
        }
        if !wait {
            self.admit(ctx); // those before it come first
            if !self.waiting.is_empty() || self.group.room() < bytes {
                let waiting = self.spec.config().window_bytes - self.group.room();
                return progress.fail(SendError::WouldBlock { waiting });
            }
        }
        self.waiting.push(Asker::Sender(payloads, progress));
    }
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Flush;

/// Something happens to the group.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Feed(pub(crate) Input);

/// Messages that have arrived from a peer.
#[derive(Debug, actix::Message)]
#[rtype(result = "Result<(), Malformed>")]
pub(crate) struct Received(pub(crate) Member, pub(crate) Vec<protocols::Message>);

/// Something has gathered in the intake.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Gathered;

#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Read(pub(crate) EventFeed);

/// Stops at once, without a word to the others.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

/// A newcomer asks for the marks at the beginning of a view.
#[derive(actix::Message)]
#[rtype(result = "Option<Marks>")]
pub(crate) struct MarksWanted(pub(crate) ViewId);

/// Somebody has told the marks.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(crate) struct Marked(pub(crate) Member, pub(crate) ViewId, pub(crate) Marks);

impl Handler<Flush> for Replication {
    type Result = ();
    fn handle(&mut self, _: Flush, ctx: &mut Self::Context) {
        self.flush(ctx);
    }
}

impl Handler<Feed> for Replication {
    type Result = ();
    fn handle(&mut self, Feed(input): Feed, ctx: &mut Self::Context) {
        self.drive(input, ctx);
    }
}

impl Handler<Received> for Replication {
    type Result = Result<(), Malformed>;
    fn handle(&mut self, Received(from, messages): Received, ctx: &mut Self::Context) -> Self::Result {
        messages.into_iter().try_for_each(|message| self.hear(from, message, ctx))
    }
}

impl Handler<Gathered> for Replication {
    type Result = ();
    fn handle(&mut self, _: Gathered, ctx: &mut Self::Context) {
        let mut taken = std::mem::take(&mut self.taken);
        self.intake.swap(&mut taken);
        taken.drain(..).for_each(|submission| self.take_in(submission, ctx));
        self.taken = spare(taken);
        self.admit(ctx);
    }
}

impl Handler<Read> for Replication {
    type Result = ();
    fn handle(&mut self, Read(reader): Read, _: &mut Self::Context) {
        self.readers.push(reader);
    }
}

impl Handler<Stop> for Replication {
    type Result = ();
    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.stop(ctx);
    }
}

impl Handler<MarksWanted> for Replication {
    type Result = Option<Marks>;
    fn handle(&mut self, MarksWanted(view): MarksWanted, _: &mut Self::Context) -> Option<Marks> {
        self.bound.as_ref()?.core.snapshot(view).cloned()
    }
}

impl Handler<Marked> for Replication {
    type Result = ();
    fn handle(&mut self, Marked(from, view, marks): Marked, ctx: &mut Self::Context) {
        let Some(bound) = &mut self.bound else { return };
        match bound.learn(from, view, marks) {
            Ok(Learnt { hand_outs, decided }) => {
                self.shown.extend(self.withheld.release(decided).into_iter().map(Shown::One));
                self.show_all(ctx);
                for (hand_out, bus) in hand_outs.into_iter().zip(self.bus.iter().cycle()) {
                    bus.do_send(hand_out);
                }
                self.settle_undecided();
                self.admit_soon(ctx);
            }
            Err(MarksRefused::NotWaiting) => {} // two were asked and both have answered
            Err(refused) => {
                metrics::counter!("quorate_bus_marks_refused_total").increment(1);
                tracing::warn!(%from, %refused, "marks were not taken");
            }
        }
    }
}
