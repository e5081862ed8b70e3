//! The network between the nodes: it delays everything, loses and doubles some, keeps no order.

use std::{sync::Arc, time::Duration};

use quorate_membership::{Beat, Member, NodeId};
use quorate_protocols::{Body, Message};
use rand::RngExt;

use super::{
    World,
    lanes::{self, Lane},
    what::What,
};
use crate::Fault;

impl World {
    /// Carries a message of the group.
    pub(super) fn carry(&mut self, from: Member, to: NodeId, message: &Arc<Message>) {
        self.tally.sent += 1;
        let multicast = matches!(message.body, Body::Data { .. } | Body::Refill { .. });
        let slow = self.strength(|fault| u32::from(multicast && *fault == Fault::Slow(to)));
        let lane = Lane::of(message);
        let Some(wait) = self.wait(from.node, to, lane, lanes::length(message)) else { return };
        for delay in self.arrivals(from.node, to) {
            let delay = delay + wait + Duration::from_secs(slow.into());
            self.lanes.note(lane, delay);
            self.at(delay, What::Arrive { from, to, message: Arc::clone(message) });
        }
    }

    /// Carries a heartbeat, which is a datagram of its own.
    pub(super) fn carry_beat(&mut self, from: Member, to: NodeId, beat: Beat) {
        let Some(wait) = self.wait(from.node, to, Lane::Control, lanes::BEAT_BYTES) else { return };
        for delay in self.arrivals(from.node, to) {
            self.lanes.note(Lane::Control, delay + wait);
            self.at(delay + wait, What::Beat { from, to, beat });
        }
    }

    /// How long this waits on its lane; `None` if it is dropped, since too much waits there.
    fn wait(&mut self, from: NodeId, to: NodeId, lane: Lane, bytes: u64) -> Option<Duration> {
        let throttle = |fault: &Fault| {
            if let Fault::Throttle(node, percent) = fault { (*node == to).then_some(*percent) } else { None }
        };
        let percent = self.active.iter().filter_map(|index| throttle(&self.schedule.0[*index].2)).min();
        self.lanes.wait(self.now, (from, to, lane), bytes, percent.unwrap_or(100))
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
