//! The state of the application for a newcomer, exact to the cut at which it was admitted.
//!
//! The view that admits a learner begins, at every data member, with the request for a snapshot:
//! after the last message of the view before and before the view itself. The learner holds back
//! everything from that view on until it has the snapshot, so that it delivers each later message
//! exactly once and in order. It counts for nothing meanwhile, and nobody waits for it.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use quorate_membership::{Change, Member, Time, View, ViewId, agreement::Breach};

use super::{Body, Effect, Effects, Event, Group, Refusal, Restore};
use crate::{
    Batch,
    transfer::{Chunk, ChunkLabel, Donor, Receiver, Step, Want},
};

/// What an event that is held back counts for at least.
const EVENT_BYTES_MIN: usize = 64;
/// Doublings of the pause before a newcomer asks to be admitted anew because it gets no state.
const ANEW_DOUBLINGS_MAX: u32 = 6;

/// Both ends of transfers at one member.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    donor: Donor,
    /// There while the own state is incomplete.
    receiver: Option<Receiver>,
    held_back: VecDeque<Event>,
    held_back_bytes: usize,
    hunt: Hunt,
}

/// How the search for a state has gone, over all snapshots that were asked for.
#[derive(Debug, Default)]
struct Hunt {
    /// When this member became a newcomer.
    since: Option<Time>,
    /// Members that said they had no snapshot, or gave one that was not intact.
    refused: BTreeSet<Member>,
    /// How often it began anew since anything came.
    anew: u32,
    /// When it begins anew, once it has nobody left to ask.
    anew_at: Option<Time>,
}

impl Hunt {
    /// When to ask for a later snapshot: at once for the first time, then after pauses that double.
    fn plan(&mut self, now: Time, pause: Duration) -> Time {
        *self.anew_at.get_or_insert_with(|| {
            let doublings = self.anew.saturating_sub(1).min(ANEW_DOUBLINGS_MAX);
            now + pause * (self.anew.min(1) << doublings)
        })
    }
}

/// What a member that fills has, and from whom.
pub(super) struct Filling<'a> {
    pub(super) receiver: &'a Receiver,
    pub(super) since: Time,
    pub(super) refused: &'a BTreeSet<Member>,
    /// When it asks for a later snapshot.
    pub(super) anew_at: Option<Time>,
}

impl Transfers {
    pub(super) const fn is_filling(&self) -> bool {
        self.receiver.is_some()
    }

    pub(super) fn filling(&self) -> Option<Filling<'_>> {
        let Hunt { since, refused, anew_at, .. } = &self.hunt;
        let since = (*since)?;
        self.receiver.as_ref().map(|receiver| Filling { receiver, since, refused, anew_at: *anew_at })
    }

    /// Whether nobody is left who could give the snapshot.
    fn is_hopeless(&self) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| receiver.donor().is_none())
    }

    fn drop_incoming(&mut self) {
        self.receiver = None;
        self.held_back.clear();
        self.held_back_bytes = 0;
    }

    /// This member is outside: what it has given or got so far is of no use.
    pub(super) fn clear(&mut self) {
        self.drop_incoming();
        self.donor.clear();
    }
}

impl Group {
    /// Bytes of state that are kept for newcomers.
    pub fn snapshot_bytes(&self) -> usize {
        self.transfers.donor.bytes()
    }

    /// Tells the application, or holds the event back while its state is incomplete.
    pub(super) fn tell(&mut self, event: Event, out: &mut Effects) {
        if self.transfers.is_hopeless() {
            // The snapshot that this would follow does not come.
        } else if self.transfers.is_filling() {
            let payload = match &event {
                Event::Message { head, payload, .. } => head.len() + payload.len(),
                Event::Request { payload, .. } => payload.len(),
                Event::Messages(messages) => messages.weight(),
                _ => 0,
            };
            self.transfers.held_back_bytes += payload.max(EVENT_BYTES_MIN);
            self.transfers.held_back.push_back(event);
        } else {
            out.push(Effect::Deliver(event));
        }
    }

    /// A view begins: newcomers start to fill, and those who are in it already keep their state for
    /// them, as it is at the cut.
    pub(super) fn open_transfers(&mut self, view: &View, out: &mut Effects) {
        if !self.config.state_transfer {
            return;
        }
        let learns = view.changes.iter().filter(|(_, change)| *change == Change::Learns);
        let newcomers: BTreeSet<Member> = learns.map(|(member, _)| *member).collect();
        if self.config.breach != Some(Breach::KeepSnapshots) {
            self.transfers.donor.on_view(view, &newcomers);
        }
        self.transfers.hunt.refused.retain(|member| view.has(*member));
        if newcomers.contains(&self.me) {
            // The juniors first: the senior coordinates.
            let donors = view.members.iter().rev().copied().collect();
            let receiver = Receiver::new(self.now, view.id, donors, self.config.snapshot_chunk_bytes);
            self.transfers.drop_incoming();
            self.transfers.receiver = Some(receiver);
            self.transfers.hunt.since.get_or_insert(self.now);
            return;
        }
        if let Some(receiver) = &mut self.transfers.receiver {
            receiver.keep(|donor| view.has(*donor)); // with none left it starts anew
            receiver.ask_sooner();
            let refused = &self.transfers.hunt.refused;
            if view.members.iter().any(|member| !refused.contains(member)) {
                self.transfers.hunt.anew = 0;
                self.transfers.hunt.anew_at = None;
            }
        }
        if !self.transfers.is_filling() {
            self.transfers.hunt = Hunt::default();
        }
        if view.rank(self.me).is_some() && !newcomers.is_empty() {
            let learners = newcomers.iter().copied().collect();
            self.transfers.donor.expect(view.id, newcomers);
            out.push(Effect::Deliver(Event::TakeSnapshot { view: view.id, learners }));
        }
    }

    /// The application hands over its state as it was when it was asked.
    pub(super) fn on_snapshot(
        &mut self,
        view: ViewId,
        state: Bytes,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        let (size, max) = (state.len(), self.config.snapshot_bytes_max);
        if size > max {
            return Err(Refusal::TooLarge { size, max });
        }
        self.transfers.donor.supply(view, state);
        if let Some((learners, Chunk { label, bytes })) = self.transfers.donor.offer(view) {
            self.post_all(learners, self.view_id(), Body::State { label, batch: bytes.into() }, out);
        }
        Ok(())
    }

    /// The application has refused; what it has handed over already stays.
    pub(super) fn on_no_snapshot(&mut self, view: ViewId) {
        self.transfers.donor.refuse(view);
    }

    pub(super) fn on_want_state(
        &mut self,
        from: Member,
        snapshot: ViewId,
        (offset, credit): (u64, u64),
        out: &mut Effects,
    ) {
        let mine = self.view_id();
        if mine.is_genesis() || mine.lineage == snapshot.lineage && mine.epoch < snapshot.epoch {
            return; // this member is about to enter that view
        }
        let chunk_bytes = self.config.snapshot_chunk_bytes;
        let credit = credit.min(chunk_bytes as u64 * 4);
        let Some(chunks) = self.transfers.donor.serve(from, snapshot, (offset, credit), chunk_bytes) else {
            return self.post(from.node, mine, Body::NoState { snapshot }, out);
        };
        for Chunk { label, bytes } in chunks {
            self.post(from.node, mine, Body::State { label, batch: bytes.into() }, out);
        }
    }

    pub(super) fn on_state(&mut self, from: Member, label: ChunkLabel, batch: &Batch, out: &mut Effects) {
        if label.length > self.config.snapshot_bytes_max as u64 {
            // The donor may be set up for more: nothing is wrong with it, but it is of no use here.
            return self.on_no_state(from, label.snapshot);
        }
        let bytes = batch.first().cloned().unwrap_or_default();
        let Some(receiver) = &mut self.transfers.receiver else { return };
        let (view, trusted) = (receiver.snapshot(), receiver.trusts(from));
        let (steps, want) = receiver.accept(self.now, from, Chunk { label, bytes });
        if trusted && !receiver.trusts(from) {
            self.transfers.hunt.refused.insert(from);
        }
        if !steps.is_empty() {
            self.transfers.hunt.anew = 0;
        }
        for step in steps {
            let restore = match step {
                Step::Begin(length) => Restore::Begin { view, length },
                Step::Bytes(bytes) => Restore::Bytes(bytes),
                Step::End => Restore::End,
            };
            let complete = restore == Restore::End;
            out.push(Effect::Deliver(Event::Restore(restore)));
            if complete {
                self.release_held_back(out);
            }
        }
        self.ask_for_state(want, out);
    }

    fn release_held_back(&mut self, out: &mut Effects) {
        let mut held_back = std::mem::take(&mut self.transfers.held_back);
        self.transfers.drop_incoming();
        let forgets = self.config.breach == Some(Breach::ForgetHeldBack);
        held_back.retain(|event| {
            !(forgets && matches!(event, Event::Message { .. } | Event::Messages(_) | Event::Request { .. }))
        });
        self.transfers.hunt = Hunt::default();
        out.extend(held_back.into_iter().map(Effect::Deliver));
        self.row_due = true; // which says that it may be promoted
    }

    pub(super) fn on_no_state(&mut self, from: Member, snapshot: ViewId) {
        if let Some(receiver) = self.transfers.receiver.as_mut().filter(|r| r.snapshot() == snapshot) {
            if receiver.trusts(from) {
                self.transfers.hunt.refused.insert(from);
            }
            receiver.strike(from);
        }
    }

    fn ask_for_state(&mut self, want: Option<Want>, out: &mut Effects) {
        let Some(receiver) = &self.transfers.receiver else { return };
        if let Some(Want { donor, offset, credit }) = want {
            let body = Body::WantState { snapshot: receiver.snapshot(), offset, credit };
            self.post(donor.node, self.view_id(), body, out);
        }
    }

    pub(super) fn tick_transfers(&mut self, out: &mut Effects) {
        let (now, round) = (self.now, self.config.timing.round());
        let Some(receiver) = &mut self.transfers.receiver else { return };
        if self.transfers.held_back_bytes > self.config.held_back_bytes_max {
            receiver.give_up(); // its time is too long ago
        }
        if receiver.donor().is_some() {
            let want = receiver.tick(now, round);
            return self.ask_for_state(want, out);
        }
        // Nobody has that snapshot any more: a newer one is needed, which costs all of them a view and
        // a question to their applications.
        self.transfers.held_back.clear();
        self.transfers.held_back_bytes = 0;
        if now < self.transfers.hunt.plan(now, round) {
            return;
        }
        self.transfers.hunt.anew_at = None;
        self.transfers.hunt.anew = self.transfers.hunt.anew.saturating_add(1);
        if let Some(view) = self.view.clone() {
            self.go_outside(&view, out);
        }
    }
}
