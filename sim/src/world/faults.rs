//! Faults begin and end.

use std::time::Duration;

use quorate_membership::NodeId;
use quorate_protocols::Input;
use rand::RngExt;

use super::{World, what::What};
use crate::Fault;

impl World {
    pub(super) fn begin(&mut self, index: usize) {
        self.tally.faults += 1;
        self.say(|| format!("begins: {}", self.schedule.0[index].2));
        self.active.insert(index);
        match self.schedule.0[index].2.clone() {
            Fault::Crash(node) => self.crash(node),
            Fault::Pause(node) => {
                if let Some(state) = self.nodes.get_mut(&node) {
                    state.pauses += 1;
                }
            }
            Fault::Busy(node, millis) => self.grow_busy(node, millis),
            Fault::SlowClock(node, percent) => self.set_clock(node, percent),
            Fault::Leave(node) => self.feed(node, vec![Input::Leave]),
            Fault::Aimed(_) => {
                self.armed.arm(index);
            }
            _ => {}
        }
    }

    pub(super) fn end(&mut self, index: usize) {
        self.say(|| format!("ends: {}", self.schedule.0[index].2));
        self.active.remove(&index);
        self.armed.disarm(index);
        match self.schedule.0[index].2.clone() {
            Fault::Crash(node) if !self.nodes[&node].is_up() => self.restart(node),
            Fault::Leave(node) => match &self.nodes[&node].group {
                Some(group) if group.has_left() => self.restart(node),
                Some(_) => self.at(Duration::from_millis(100), What::End(index)), // not let go yet
                None => {}
            },
            Fault::SlowClock(node, _) => self.set_clock(node, 100),
            Fault::Pause(node) => self.resume(node),
            Fault::Busy(node, millis) => self.grow_idle(node, millis),
            Fault::Throttle(node, _) | Fault::ThrottleControl(node, _) => self.hurry(node),
            _ => {}
        }
    }

    pub(super) fn crash(&mut self, node: NodeId) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        state.group = None;
        state.died = Some(self.now);
        state.tickets.clear();
        state.asked.clear();
        // What has arrived dies with the process; the application's own timer belongs to the node.
        state.waiting.retain(|what| matches!(what, What::Submit(_)));
    }

    pub(super) fn restart(&mut self, node: NodeId) {
        let died = self.nodes.get(&node).and_then(|state| state.died);
        self.start(node);
        if let Some(state) = self.nodes.get_mut(&node) {
            state.died = died;
        }
    }

    pub(super) fn resume(&mut self, node: NodeId) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        state.pauses -= 1;
        if state.pauses > 0 || state.busy.is_busy() {
            return;
        }
        for what in std::mem::take(&mut state.waiting) {
            self.happen(what);
        }
    }

    /// Others begin to take the machine of a node.
    pub(super) fn grow_busy(&mut self, node: NodeId, millis: u32) {
        if self.nodes.get_mut(&node).is_some_and(|it| it.busy.begin(millis)) {
            self.turn(node);
        }
    }

    /// They take it no longer.
    pub(super) fn grow_idle(&mut self, node: NodeId, millis: u32) {
        if self.nodes.get_mut(&node).is_some_and(|it| it.busy.end(millis)) {
            self.turn(node);
        }
    }

    /// A process takes in what has reached it since its last turn, timers first.
    pub(super) fn turn(&mut self, node: NodeId) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        if state.pauses == 0 {
            let waiting = std::mem::take(&mut state.waiting);
            let is_timer = |what: &What| matches!(what, What::Look(_) | What::Wake(_));
            let (timers, rest): (Vec<What>, Vec<What>) = waiting.into_iter().partition(is_timer);
            timers.into_iter().chain(rest).for_each(|what| self.take(node, what));
        }
        if let Some(millis) = self.nodes.get(&node).and_then(|state| state.busy.millis()) {
            let micros = self.rng.random_range(0..u64::from(millis) * 1000);
            self.at(Duration::from_micros(micros), What::Turn(node));
        }
    }

    /// Makes a node's clock run slow, or right again; what it waits for comes at the new pace.
    pub(super) fn set_clock(&mut self, node: NodeId, percent: u32) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        state.clock.run_at(self.now, percent);
        let (life, clock) = (state.life, state.clock);
        let wakes = [(state.wake, What::Wake(life)), (state.look, What::Look(life))];
        for (at, what) in wakes {
            if let Some(at) = at {
                self.queue.push(clock.moment(at).max(self.now), what);
            }
        }
    }
}
