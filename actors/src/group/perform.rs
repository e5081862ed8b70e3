//! The one place where what a group decided is carried out.

use std::sync::Arc;

use actix::prelude::*;
use quorate_membership::{NodeId, Time};
use quorate_protocols::{
    self as protocols, Batch, Body, Effect, Effects, Event, Fate, Input, Message, Messages, Ticket, Way,
};

use super::{
    GroupEvent, Outgoing, SendError,
    asking::Step,
    codec,
    events::Shown,
    replication::{Feed, Replication},
    sent::Stage,
    waiting::Asker,
    withheld::Overwhelmed,
};
use crate::{node::GroupLeft, wire};

/// Entries for which an empty list keeps its room. What a burst needs beyond it is given back.
const KEPT_ROOM: usize = 4096;

/// An empty list that is used again.
pub(super) fn spare<T>(list: Vec<T>) -> Vec<T> {
    debug_assert!(list.is_empty(), "it is done with");
    if list.capacity() <= KEPT_ROOM { list } else { Vec::new() }
}

impl Replication {
    /// Has the core do something, and carries out what it wants done.
    pub(crate) fn act<T>(
        &mut self,
        ctx: &mut Context<Self>,
        act: impl FnOnce(&mut protocols::Group, Time, &mut Effects) -> T,
    ) -> T {
        let mut effects = std::mem::take(&mut self.effects);
        let done = act(&mut self.group, self.clock.now(), &mut effects);
        self.perform(&mut effects, ctx);
        self.effects = spare(effects);
        done
    }

    /// Carries out effects in the order in which they were pushed. Readers get what they are shown
    /// together, before anything is told to somebody who may ask whether they have got it.
    pub(crate) fn perform(&mut self, effects: &mut Effects, ctx: &mut Context<Self>) {
        for effect in effects.drain(..) {
            let beside = matches!(
                &effect,
                Effect::Deliver(Event::Message { .. } | Event::Messages(_)) | Effect::Send { .. }
            );
            if !beside {
                self.show_all(ctx);
            }
            match effect {
                Effect::Send { to, message } => self.send(to, *message),
                Effect::Deliver(Event::TakeSnapshot { view, learners }) => {
                    self.ask_for_state(view, learners, ctx);
                }
                Effect::Deliver(Event::Restore(restore)) => self.restore(restore, ctx),
                Effect::Deliver(Event::Messages(messages)) => self.tell_many(messages, ctx),
                Effect::Deliver(event) => self.tell(event, ctx),
                Effect::Fate { ticket, fate } => self.settle(ticket, fate),
                Effect::Answer { ticket, from, payload } => {
                    self.step(ticket, Step::Answer(from, payload), false);
                }
                Effect::Absent { ticket, member } => self.step(ticket, Step::Absent(member), false),
                Effect::Collected { ticket, outcome } => self.step(ticket, Step::Collected(outcome), true),
                Effect::WakeAt(at) => {
                    let wait = at.since(self.clock.now());
                    ctx.run_later(wait, |actor, ctx| actor.drive(Input::Wake, ctx));
                }
                other => tracing::error!(?other, "an effect that this version does not know"),
            }
        }
        self.show_all(ctx);
        self.delivered_now.count();
    }

    fn send(&mut self, to: Arc<[NodeId]>, message: Message) {
        let lane = wire::lane_of(self.spec.id(), &message);
        let is_multicast = match &message.body {
            Body::Data { .. } => true,
            Body::Part(part) => part.way != Way::Refill,
            _ => false,
        };
        match codec::encode(message) {
            Ok(packet) => {
                let frame = wire::group_frame(self.spec.id(), lane, packet);
                // The sender's window waits for data members alone: what learners have no room for, they ask for.
                let learners = self.group.view().map(|view| &view.learners[..]).unwrap_or_default();
                let learns = |node: &&NodeId| learners.iter().any(|member| member.node == **node);
                if !is_multicast || !to.iter().any(|node| learns(&node)) {
                    return self.outlet.send(Outgoing { to, lane, frame, is_bounded: is_multicast });
                }
                let (learners, members): (Vec<_>, Vec<_>) = to.iter().partition(learns);
                for (to, is_bounded) in [(members, true), (learners, false)] {
                    self.outlet.send(Outgoing { to: to.into(), lane, frame: frame.clone(), is_bounded });
                }
            }
            Err(error) => tracing::error!(%error, "a message was not sent"),
        }
    }

    /// Messages of one frame; what is published among them, and what is kept for followers, goes its way one
    /// by one.
    fn tell_many(&mut self, mut messages: Messages, ctx: &mut Context<Self>) {
        if self.bound.is_some() {
            return Event::Messages(messages).each().for_each(|event| self.tell(event, ctx));
        }
        messages.heads = Batch::default();
        self.delivered += messages.batch.len() as u64;
        messages.batch.iter().for_each(|payload| self.delivered_now.add(payload.len()));
        self.shown.push(Shown::Many(messages));
    }

    fn tell(&mut self, event: Event, ctx: &mut Context<Self>) {
        super::figures::count(self.spec.name(), &event);
        match &event {
            Event::View(view) => {
                tracing::info!(%view, "a view begins");
                self.records.note(view);
            }
            Event::Message { payload, .. } => {
                self.delivered += 1;
                self.delivered_now.add(payload.len());
            }
            Event::Wedged(_) | Event::Resumed => self.standing_since = self.clock.now(),
            Event::Removed { .. } | Event::LineageLost | Event::Left => {
                self.standing_since = self.clock.now();
                self.doubt_the_rest();
            }
            _ => {}
        }
        if event == Event::Left {
            self.node.do_send(GroupLeft(self.spec.id(), self.group.legacy())); // once
        }
        let is_view = matches!(event, Event::View(_));
        if matches!(event, Event::Removed { .. } | Event::LineageLost | Event::Left) {
            self.withheld.drop_all();
        }
        let unwrapped = self.unwrapped(event);
        if self.bound.as_mut().is_some_and(|bound| bound.core.take_given_up()) {
            tracing::error!(
                "no member tells the marks of publishers, or none is left that knows them: this node leaves; join again"
            );
            ctx.notify(Feed(Input::Leave));
        }
        let Some((event, in_doubt)) = unwrapped else { return };
        let clock = self.clock;
        match self.withheld.pass(GroupEvent::of(event, || clock.now()), in_doubt) {
            Ok(Some(event)) => self.shown.push(Shown::One(event)),
            Ok(None) => {} // it waits
            Err(Overwhelmed) => {
                tracing::error!("too much waits for the marks: this node leaves");
                ctx.notify(Feed(Input::Leave));
            }
        }
        if is_view {
            self.ask_marks(ctx);
        }
        if self.settle_due {
            self.settle_undecided();
        }
    }

    /// Lets the readers have what they are shown by now.
    pub(super) fn show_all(&mut self, ctx: &mut Context<Self>) {
        if self.shown.is_empty() {
            return;
        }
        let mut shown = std::mem::take(&mut self.shown);
        if self.keeper.is_some() {
            let events = shown.iter().cloned().flat_map(Shown::each);
            events.for_each(|event| self.tell_keeper(event, ctx));
        }
        let mut others = self.readers.len();
        self.readers.retain(|reader| {
            others -= 1;
            // The last one gets the events themselves.
            if others == 0 {
                reader.tell_all(shown.drain(..))
            } else {
                reader.tell_all(shown.iter().cloned())
            }
        });
        shown.clear();
        self.shown = spare(shown);
    }

    /// Asks for the marks until a member has told them.
    fn ask_marks(&mut self, ctx: &mut Context<Self>) {
        let Some((view, member)) = self.bound.as_mut().and_then(|bound| bound.core.ask()) else { return };
        let (lane, frame) = wire::marks_wanted(self.spec.id(), view);
        self.outlet.send(Outgoing { to: Arc::from([member.node]), lane, frame, is_bounded: false });
        ctx.run_later(self.spec.config().timing.resend(), Self::ask_marks);
    }

    /// Nobody will say any more whether all members hold what was sent.
    fn doubt_the_rest(&mut self) {
        let sent = |asker: &Asker| matches!(asker, Asker::Sender(_, it) if it.stage() == Stage::Uniform);
        self.askers.retain(|_, asker| {
            let doubtful = sent(asker);
            if let (true, Asker::Sender(_, progress)) = (doubtful, asker) {
                progress.fail(SendError::Unknown);
            }
            !doubtful
        });
    }

    fn settle(&mut self, ticket: Ticket, fate: Fate) {
        if fate == Fate::Uniform
            && let Some(Asker::Sender(_, progress)) = self.askers.get(&ticket)
        {
            progress.reach(Stage::Uniform);
            return;
        }
        match (self.askers.remove(&ticket), fate) {
            (Some(Asker::Sender(_, progress)), Fate::Everywhere | Fate::Delivered) => {
                progress.reach(Stage::Everywhere);
            }
            (Some(asker @ Asker::Sender(..)), Fate::Lost) => asker.fail(&SendError::Lost),
            (Some(asker @ Asker::Sender(..)), _) => asker.fail(&SendError::Unknown),
            (Some(Asker::Publisher(publication)), Fate::Uniform | Fate::Everywhere) => {
                self.settle_publication(*publication, true);
            }
            (Some(Asker::Publisher(publication)), _) => self.settle_publication(*publication, false),
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests;
