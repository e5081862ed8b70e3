//! What befalls what goes from one node to another.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use quorate_membership::NodeId;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::watch, time::Instant};

use super::link::Path;
use crate::LinkError;

/// What befalls what goes from one node to another. The default is nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rule {
    /// Of a hundred datagrams so many are lost.
    pub datagrams_lost_percent: u8,
    /// Of a hundred datagrams so many arrive twice.
    pub datagrams_doubled_percent: u8,
    /// By how much everything is late. At most 4 MiB of a lane are under way at one time.
    pub delay: Duration,
    /// By how much more, at most. Frames of a lane keep their order; lanes and datagrams overtake
    /// each other.
    pub jitter: Duration,
    /// How much gets through, lanes and datagrams together, first come first served.
    pub bytes_per_s: Option<NonZeroU64>,
}

/// How patient the ends of a dead network are.
#[derive(Clone, Copy, Debug)]
pub struct FaultTiming {
    /// A link whose network is cut, be it one way, is lost after this time. Default 2 s.
    pub lost_after: Duration,
    /// Connecting through a cut network fails after this time. Default 1 s.
    pub connect_within: Duration,
}

impl Default for FaultTiming {
    fn default() -> Self {
        Self { lost_after: Duration::from_secs(2), connect_within: Duration::from_secs(1) }
    }
}

/// A pair of nodes; `None` stands for any node.
type Route = (Option<NodeId>, Option<NodeId>);

/// The state of the network between wrapped transports; changed at any time, from anywhere.
/// Cloning it gives another handle.
///
/// Nodes are named by their ids; `None` stands for any node. Of several rules the one that names
/// more holds, the sender before the receiver; of cuts all hold.
#[derive(Clone)]
pub struct Faults(Arc<Network>);

struct Network {
    timing: FaultTiming,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

struct State {
    rules: BTreeMap<Route, Rule>,
    cuts: BTreeMap<Route, Instant>,
    /// Until when what got through so far takes up the network.
    busy_until: BTreeMap<(NodeId, NodeId), Instant>,
    /// What nodes send at most to all others together, in bytes per second, and until when they are busy with it.
    senders: BTreeMap<NodeId, (NonZeroU64, Instant)>,
    chance: StdRng,
    paths: Vec<Weak<Path>>,
}

/// Whom a rule for `from` and `to` may name, more before less.
fn routes(from: NodeId, to: NodeId) -> [Route; 4] {
    [(Some(from), Some(to)), (Some(from), None), (None, Some(to)), (None, None)]
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Faults").field("rules", &state.rules).field("cuts", &state.cuts).finish()
    }
}

impl Faults {
    /// A network without faults. The seed decides which datagrams are lost and what jitter adds.
    pub fn new(seed: u64, timing: FaultTiming) -> Self {
        let state = State {
            rules: BTreeMap::new(),
            cuts: BTreeMap::new(),
            busy_until: BTreeMap::new(),
            senders: BTreeMap::new(),
            chance: StdRng::seed_from_u64(seed),
            paths: Vec::new(),
        };
        Self(Arc::new(Network { timing, state: Mutex::new(state), changed: watch::Sender::new(()) }))
    }

    /// Sets the rule for what goes from one node to another, in place of an earlier one.
    pub fn set(&self, from: Option<NodeId>, to: Option<NodeId>, rule: Rule) {
        self.state().rules.insert((from, to), rule);
        self.0.changed.send_replace(());
    }

    /// Bounds what a node sends on lanes to all others together, first come first served; `None` takes the bound
    /// back. Datagrams pass at once: they are few, and would else wait behind all that the lanes hold.
    pub fn limit_sender(&self, node: NodeId, bytes_per_s: Option<NonZeroU64>) {
        let mut state = self.state();
        match bytes_per_s {
            Some(rate) => state.senders.insert(node, (rate, Instant::now())),
            None => state.senders.remove(&node),
        };
        drop(state);
        self.0.changed.send_replace(());
    }

    /// Cuts the network between two nodes, both ways.
    ///
    /// Datagrams vanish, streams stall, nobody hears of anything, not even that a link is closed.
    /// After [`FaultTiming::lost_after`] the links are lost at both ends.
    pub fn cut(&self, a: Option<NodeId>, b: Option<NodeId>) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Cuts the network from one node to another; what goes the other way still arrives.
    pub fn cut_one_way(&self, from: Option<NodeId>, to: Option<NodeId>) {
        self.state().cuts.entry((from, to)).or_insert_with(Instant::now);
        self.0.changed.send_replace(());
    }

    /// Cuts every node of one side from every node of the other.
    pub fn partition(&self, one_side: &[NodeId], other_side: &[NodeId]) {
        for a in one_side {
            for b in other_side {
                self.cut(Some(*a), Some(*b));
            }
        }
    }

    /// Takes back the rules and cuts that were made for exactly these two, both ways.
    pub fn heal(&self, a: Option<NodeId>, b: Option<NodeId>) {
        let mut state = self.state();
        for route in [(a, b), (b, a)] {
            state.rules.remove(&route);
            state.cuts.remove(&route);
        }
        drop(state);
        self.0.changed.send_replace(());
    }

    /// Takes back all rules, bounds and cuts.
    pub fn heal_all(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.cuts.clear();
        state.busy_until.clear();
        state.senders.clear();
        drop(state);
        self.0.changed.send_replace(());
    }

    /// Breaks the links between two nodes, now and at both ends. New ones can be opened at once.
    pub fn break_links(&self, a: NodeId, b: NodeId) {
        self.lose(a, b, "broken on purpose");
    }

    pub(super) fn timing(&self) -> FaultTiming {
        self.0.timing
    }

    /// Tells whenever anything is set, cut or healed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Since when nothing gets from one node to another.
    pub(super) fn cut_since(&self, from: NodeId, to: NodeId) -> Option<Instant> {
        let state = self.state();
        routes(from, to).iter().filter_map(|route| state.cuts.get(route).copied()).min()
    }

    /// When something of this length arrives that is sent on a lane now; `None`: at once.
    pub(super) fn arrival(&self, from: NodeId, to: NodeId, bytes: usize) -> Option<Instant> {
        self.arrival_of((from, to), bytes, true)
    }

    /// The same of a datagram.
    pub(super) fn datagram_arrival(&self, from: NodeId, to: NodeId, bytes: usize) -> Option<Instant> {
        self.arrival_of((from, to), bytes, false)
    }

    fn arrival_of(&self, (from, to): (NodeId, NodeId), bytes: usize, on_lane: bool) -> Option<Instant> {
        let mut state = self.state();
        let rule = state.rule(from, to);
        let bounded = on_lane && state.senders.contains_key(&from);
        if rule.delay.is_zero() && rule.jitter.is_zero() && rule.bytes_per_s.is_none() && !bounded {
            return None;
        }
        let mut at = Instant::now();
        if let Some((rate, busy_until)) = state.senders.get_mut(&from).filter(|_| on_lane) {
            at = at.max(*busy_until) + takes(bytes, *rate);
            *busy_until = at;
        }
        if let Some(rate) = rule.bytes_per_s {
            let busy_until = state.busy_until.entry((from, to)).or_insert(at);
            at = at.max(*busy_until) + takes(bytes, rate);
            *busy_until = at;
        }
        Some(at + rule.delay + state.chance.random_range(Duration::ZERO..=rule.jitter))
    }

    /// How many copies of a datagram arrive.
    pub(super) fn copies(&self, from: NodeId, to: NodeId) -> usize {
        let mut state = self.state();
        let rule = state.rule(from, to);
        if state.happens(rule.datagrams_lost_percent) {
            return 0;
        }
        1 + usize::from(state.happens(rule.datagrams_doubled_percent))
    }

    pub(super) fn remember(&self, path: &Arc<Path>) {
        let mut state = self.state();
        state.paths.retain(|path| path.strong_count() > 0);
        state.paths.push(Arc::downgrade(path));
    }

    /// Ends the links between two nodes. First both ends are told that the connection was lost, or
    /// one would hear that the other has closed it.
    pub(super) fn lose(&self, a: NodeId, b: NodeId, why: &str) {
        let paths: Vec<_> = self.state().paths.iter().filter_map(Weak::upgrade).collect();
        let of_both = |path: &&Arc<Path>| [(a, b), (b, a)].contains(&path.ends());
        for path in paths.iter().filter(of_both) {
            path.end(LinkError::Lost(why.to_owned()));
        }
        paths.iter().filter(of_both).for_each(|path| path.close_inner());
    }

    /// No code panics while it holds the lock; should one, the state is still whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn takes(bytes: usize, per_s: NonZeroU64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / per_s.get() as f64)
}

impl State {
    fn rule(&self, from: NodeId, to: NodeId) -> Rule {
        routes(from, to).iter().find_map(|route| self.rules.get(route)).copied().unwrap_or_default()
    }

    /// Draws only if the answer depends on it, so that rules do not disturb each other's chance.
    fn happens(&mut self, percent: u8) -> bool {
        percent > 0 && self.chance.random_range(0..100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_bounded_node_sends_to_one_waits_for_what_it_sends_to_another() {
        const MIB: usize = 1 << 20;
        let faults = Faults::new(1, FaultTiming::default());
        let [a, b, c] = [1, 2, 3].map(NodeId::new);
        faults.limit_sender(a, NonZeroU64::new(MIB as u64));
        let after = |seconds| Some(Instant::now() + Duration::from_secs(seconds));
        assert_eq!(faults.arrival(a, b, MIB), after(1));
        assert_eq!(faults.arrival(a, c, MIB), after(2));
        assert_eq!(faults.arrival(b, a, MIB), None, "others are not bounded");
        assert_eq!(faults.datagram_arrival(a, b, 100), None);
        faults.set(
            Some(a),
            Some(b),
            Rule { bytes_per_s: NonZeroU64::new(MIB as u64 / 2), ..Rule::default() },
        );
        assert_eq!(faults.arrival(a, b, MIB), after(5), "neither the node nor the way takes more");
        faults.heal(Some(a), Some(b));
        faults.limit_sender(a, None);
        assert_eq!(faults.arrival(a, b, MIB), None);
    }
}
