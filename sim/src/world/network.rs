//! The network between the nodes: it delays everything, loses and doubles some, keeps no order.

use std::{sync::Arc, time::Duration};

use quorate_membership::{Beat, Member, NodeId};
use quorate_protocols::{Body, Message};
use rand::RngExt;

use super::{
    World,
    lanes::{self, Cargo, Lane, Load, Way},
    what::What,
};
use crate::Fault;

impl World {
    /// Carries a message of the group.
    pub(super) fn carry(&mut self, from: Member, to: NodeId, message: &Arc<Message>) {
        self.tally.sent += 1;
        let (lane, bytes) = (Lane::of(message), lanes::length(message));
        self.post(
            to,
            Load { bytes, lane, since: self.now, from, cargo: Cargo::Message(Arc::clone(message)) },
        );
    }

    /// Carries a heartbeat, which is a datagram of its own.
    pub(super) fn carry_beat(&mut self, from: Member, to: NodeId, beat: Beat) {
        let (lane, bytes) = (Lane::Control, lanes::BEAT_BYTES);
        self.post(to, Load { bytes, lane, since: self.now, from, cargo: Cargo::Beat(beat) });
    }

    /// Sends something at once, or behind what waits on its lane where links carry only so much.
    fn post(&mut self, to: NodeId, load: Load) {
        if !self.lanes.are_limited() {
            return self.transmit(to, load);
        }
        let way = (load.from.node, to, self.lanes.of(load.lane));
        if let Some(bytes) = self.lanes.enter(way, load) {
            self.wait(way, bytes);
        }
    }

    /// So much leaves next on a lane, at the rate of now.
    fn wait(&mut self, way: Way, bytes: u64) {
        let (_, to, lane) = way;
        let throttle = |fault: &Fault| match fault {
            Fault::Throttle(node, percent) if lane == Lane::Data && *node == to => Some(*percent),
            Fault::ThrottleControl(node, percent) if lane == Lane::Control && *node == to => Some(*percent),
            _ => None,
        };
        let percent = self.active.iter().filter_map(|index| throttle(&self.schedule.0[*index].2)).min();
        let takes = self.lanes.takes(lane, bytes, percent.unwrap_or(100));
        let planned = self.lanes.plan(way);
        self.at(takes, What::Leave(way, planned));
    }

    /// Links to a node are no longer throttled: what is leaving begins anew at the rate of now.
    pub(super) fn hurry(&mut self, node: NodeId) {
        for (way, bytes) in self.lanes.to(node) {
            self.wait(way, bytes);
        }
    }

    /// What waited longest on a lane has left it.
    pub(super) fn leave(&mut self, way: Way, planned: u64) {
        let Some((load, next)) = self.lanes.leave(way, planned) else { return };
        if let Some(bytes) = next {
            self.wait(way, bytes);
        }
        self.transmit(way.1, load);
    }

    /// Something is on its way, unless it gets lost.
    fn transmit(&mut self, to: NodeId, load: Load) {
        let Load { lane, since, from, cargo, .. } = load;
        let multicasts = matches!(&cargo, Cargo::Message(message)
            if matches!(message.body, Body::Data { .. } | Body::Part(_) | Body::Refill { .. }));
        let slow = self.strength(|fault| u32::from(multicasts && *fault == Fault::Slow(to)));
        for delay in self.arrivals(from.node, to) {
            let delay = delay + Duration::from_secs(slow.into());
            self.lanes.note(lane, (self.now + delay).since(since));
            let what = match &cargo {
                Cargo::Message(message) => What::Arrive { from, to, message: Arc::clone(message) },
                Cargo::Beat(beat) => What::Beat { from, to, beat: *beat },
            };
            self.at(delay, what);
        }
    }

    /// After which delays copies arrive; empty if the message is lost.
    fn arrivals(&mut self, from: NodeId, to: NodeId) -> Vec<Duration> {
        if self.is_cut(from, to) {
            return Vec::new();
        }
        let loss = self.strength(|fault| if let Fault::Loss(percent) = fault { *percent } else { 0 });
        let late = self.strength(|fault| if let Fault::Late(percent) = fault { *percent } else { 0 });
        let mut delays = Vec::with_capacity(1);
        if self.rng.random_range(0..100) >= loss {
            delays.push(self.delay());
        }
        if self.rng.random_range(0..100) < loss {
            delays.push(self.delay());
        }
        if self.rng.random_range(0..100) < late {
            // Held up in some queue for long: it outlives views, and the life of its sender.
            delays.push(Duration::from_millis(self.rng.random_range(50..5000)));
        }
        delays
    }

    fn delay(&mut self) -> Duration {
        let micros = if self.rng.random_range(0..50) == 0 { 20_000 } else { 400 };
        Duration::from_micros(50 + self.rng.random_range(0..micros))
    }

    fn strength(&self, of: impl Fn(&Fault) -> u32) -> u32 {
        self.active.iter().map(|index| of(&self.schedule.0[*index].2)).max().unwrap_or(0)
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        let parts = |side: &[NodeId]| side.contains(&from) != side.contains(&to);
        let cut = |index: &usize| match &self.schedule.0[*index].2 {
            Fault::CutOneWay(a, b) => from == *a && to == *b,
            Fault::Cut(a, b) => (from == *a && to == *b) || (from == *b && to == *a),
            Fault::Partition(side) => parts(side),
            _ => false,
        };
        self.active.iter().any(cut) || self.armed.part(from, to)
    }
}
