//! Who is here, for one node: failure detection and cluster membership joined into one core, and
//! what the node's groups are told of it.

mod effect;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use quorate_membership::{
    Beat, Cluster, ClusterEffect, ClusterError, ClusterIdentity, Detector, DetectorEffect, Member, NodeId,
    Time, Timing, agreement::Breach,
};

pub use effect::{KnownNode, Notice, PresenceEffect};

use crate::Input;

/// What a node knows of the others.
///
/// The declared nodes, those of the cluster and those that are linked are watched for their
/// heartbeats; links are kept to all that the cluster knows.
#[derive(Debug)]
pub struct Presence {
    me: NodeId,
    detector: Detector,
    cluster: Cluster,
    /// Nodes that are watched and wanted whether the cluster knows them or not.
    declared: BTreeSet<NodeId>,
    reachable: BTreeMap<NodeId, Member>,
    /// Nodes that were reachable and are not any more, and since when.
    lost: BTreeMap<NodeId, Time>,
    /// Where the nodes are that links are kept to.
    dialed: BTreeMap<NodeId, SocketAddr>,
    /// The members that are linked, and where they accept links.
    linked: BTreeMap<NodeId, (Member, Option<SocketAddr>)>,
}

impl Presence {
    /// Starts alone, and watches the declared nodes. `seed` decides all chance.
    pub fn new(
        identity: ClusterIdentity,
        timing: Timing,
        seed: u64,
        declared: BTreeSet<NodeId>,
        now: Time,
        out: &mut Vec<PresenceEffect>,
    ) -> Self {
        let mut presence = Self {
            me: identity.member.node,
            detector: Detector::new(identity.member, timing),
            cluster: Cluster::new(identity, timing, seed),
            declared: BTreeSet::new(),
            reachable: BTreeMap::new(),
            lost: BTreeMap::new(),
            dialed: BTreeMap::new(),
            linked: BTreeMap::new(),
        };
        presence.declare(now, declared, out);
        presence
    }

    /// The same with a rule of failure detection broken on purpose, for tests of the tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_breach(mut self, breach: Option<Breach>) -> Self {
        self.detector = self.detector.with_breach(breach);
        self
    }

    /// The other members of the cluster that are up.
    pub fn cluster_members(&self) -> impl Iterator<Item = &ClusterIdentity> {
        self.cluster.members()
    }

    /// The nodes with which heartbeats are exchanged: those that are declared, linked or in the cluster.
    pub fn watched(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.detector.watched()
    }

    /// All other nodes that are declared, linked or in the cluster, in the order of their names.
    pub fn known(&self) -> Vec<KnownNode> {
        let up: BTreeMap<NodeId, SocketAddr> =
            self.cluster.members().map(|id| (id.member.node, id.addr)).collect();
        let known: BTreeSet<NodeId> =
            up.keys().chain(self.linked.keys()).chain(&self.declared).copied().collect();
        let describe = |node: NodeId| {
            let (addr, linked) = (up.get(&node).copied(), self.linked.get(&node));
            let reachable = self.reachable.get(&node).copied();
            KnownNode {
                node,
                member: reachable.or(linked.map(|(member, _)| *member)),
                addr: addr.or(linked.and_then(|(_, listens)| *listens)),
                in_cluster: addr.is_some(),
                linked: linked.is_some(),
                reachable: reachable.is_some(),
                lost_at: self.lost.get(&node).copied(),
            }
        };
        known.into_iter().filter(|node| *node != self.me).map(describe).collect()
    }

    /// What a group is told first, so that it knows what those that run already know.
    pub fn introduction(&self) -> Vec<Input> {
        let contacts = Input::Contacts(self.linked.keys().copied().collect());
        std::iter::once(contacts).chain(self.reachable.values().map(|it| Input::Reachable(*it))).collect()
    }

    /// These nodes are to be watched in any case.
    pub fn declare(
        &mut self,
        now: Time,
        nodes: impl IntoIterator<Item = NodeId>,
        out: &mut Vec<PresenceEffect>,
    ) {
        for node in nodes {
            if self.declared.insert(node) {
                self.watch(now, node, out);
            }
        }
    }

    /// A link to this member stands; `listens` is where it accepts links, if it does.
    pub fn on_linked(
        &mut self,
        now: Time,
        member: Member,
        listens: Option<SocketAddr>,
        out: &mut Vec<PresenceEffect>,
    ) {
        if let Some(addr) = listens {
            let mut effects = Vec::new();
            self.cluster.contact(now, ClusterIdentity::new(member, addr), &mut effects);
            self.heed_cluster(now, effects, out);
        }
        self.linked.insert(member.node, (member, listens));
        self.watch(now, member.node, out);
        self.detect(now, out, |detector, effects| detector.on_linked(now, member.node, effects));
        out.push(PresenceEffect::Tell(Input::Contacts(vec![member.node])));
    }

    /// Its link is gone.
    pub fn on_unlinked(&mut self, now: Time, node: NodeId, out: &mut Vec<PresenceEffect>) {
        self.linked.remove(&node);
        self.let_go(now, node, out);
    }

    /// A heartbeat has come from a member, as its link proves.
    pub fn on_beat(&mut self, now: Time, from: Member, beat: Beat, out: &mut Vec<PresenceEffect>) {
        // Failure detection may have forgotten the node meanwhile, and with it which life was the last.
        if self.linked.get(&from.node).is_some_and(|(linked, _)| from.incarnation < linked.incarnation) {
            return;
        }
        self.detect(now, out, |detector, effects| detector.on_beat(now, from, beat, effects));
    }

    /// Frames have come from a member, the last of them at `at`: see [`Detector::on_frames`].
    pub fn on_frames(&mut self, now: Time, from: Member, at: Time, out: &mut Vec<PresenceEffect>) {
        self.detect(now, out, |detector, effects| detector.on_frames(now, from, at, effects));
    }

    /// Asks a node for a heartbeat at once: see [`Detector::ask`].
    pub fn ask(&mut self, now: Time, node: NodeId, out: &mut Vec<PresenceEffect>) -> Option<u64> {
        let mut asked = None;
        self.detect(now, out, |detector, effects| asked = detector.ask(now, node, effects));
        asked
    }

    /// A datagram of the cluster's membership has come.
    ///
    /// # Errors
    /// [`ClusterError`]; nothing has changed then.
    pub fn on_swim(
        &mut self,
        now: Time,
        from: Member,
        datagram: &[u8],
        out: &mut Vec<PresenceEffect>,
    ) -> Result<(), ClusterError> {
        let mut effects = Vec::new();
        self.cluster.on_datagram(now, from, datagram, &mut effects)?;
        self.heed_cluster(now, effects, out);
        Ok(())
    }

    /// Notices a stall before anything that queued up meanwhile is taken in.
    pub fn check(&mut self, now: Time, out: &mut Vec<PresenceEffect>) {
        self.detect(now, out, |detector, effects| detector.check(now, effects));
    }

    /// The moment has come that failure detection asked for.
    pub fn on_detector_wake(&mut self, now: Time, out: &mut Vec<PresenceEffect>) {
        self.detect(now, out, |detector, effects| detector.on_wake(now, effects));
    }

    /// The moment has come that cluster membership asked for.
    pub fn on_cluster_wake(&mut self, now: Time, out: &mut Vec<PresenceEffect>) {
        let mut effects = Vec::new();
        self.cluster.on_wake(now, &mut effects);
        self.heed_cluster(now, effects, out);
    }

    /// Tells the cluster that this node leaves.
    pub fn leave(&mut self, now: Time, out: &mut Vec<PresenceEffect>) {
        let mut effects = Vec::new();
        self.cluster.leave(now, &mut effects);
        self.heed_cluster(now, effects, out);
    }

    fn watch(&mut self, now: Time, node: NodeId, out: &mut Vec<PresenceEffect>) {
        self.detect(now, out, |detector, effects| detector.watch(now, node, effects));
    }

    /// Forgets a node that is not declared, not linked, and not up in the cluster.
    fn let_go(&mut self, now: Time, node: NodeId, out: &mut Vec<PresenceEffect>) {
        let is_up = |id: &ClusterIdentity| id.member.node == node;
        let wanted = self.declared.contains(&node) || self.linked.contains_key(&node);
        if wanted || self.cluster.members().any(is_up) {
            return;
        }
        if self.reachable.contains_key(&node) {
            self.lose(now, node);
            Self::tell(Notice::Unreachable(node), Input::Unreachable(node), out);
        }
        self.lost.remove(&node);
        self.detector.unwatch(node);
        out.push(PresenceEffect::Tell(Input::Departed(node)));
    }

    fn keep_link(&mut self, id: ClusterIdentity, out: &mut Vec<PresenceEffect>) {
        let node = id.member.node;
        if node != self.me && self.dialed.insert(node, id.addr) != Some(id.addr) {
            out.push(PresenceEffect::KeepLink(id));
        }
    }

    fn detect(
        &mut self,
        now: Time,
        out: &mut Vec<PresenceEffect>,
        act: impl FnOnce(&mut Detector, &mut Vec<DetectorEffect>),
    ) {
        let mut effects = Vec::new();
        act(&mut self.detector, &mut effects);
        for effect in effects {
            match effect {
                DetectorEffect::Send { to, beat } => out.push(PresenceEffect::Beat { to, beat }),
                DetectorEffect::WakeAt(at) => out.push(PresenceEffect::WakeDetectorAt(at)),
                DetectorEffect::RoundTrip { node, sequence, took } => {
                    out.push(PresenceEffect::RoundTrip { node, sequence, took });
                }
                DetectorEffect::Reachable { member } => {
                    self.reachable.insert(member.node, member);
                    self.lost.remove(&member.node);
                    Self::tell(Notice::Reachable(member), Input::Reachable(member), out);
                }
                DetectorEffect::Unreachable { node } => {
                    self.lose(now, node);
                    Self::tell(Notice::Unreachable(node), Input::Unreachable(node), out);
                }
                DetectorEffect::Superseded { old, new } => {
                    self.lose(now, old.node);
                    Self::tell(Notice::Superseded { old, new }, Input::Unreachable(old.node), out);
                }
                DetectorEffect::Stalled { late_by } => {
                    out.push(PresenceEffect::Noticed(Notice::Stalled(late_by)));
                    out.push(PresenceEffect::Stalled);
                }
            }
        }
    }

    fn lose(&mut self, now: Time, node: NodeId) {
        if self.reachable.remove(&node).is_some() {
            self.lost.insert(node, now);
        }
    }

    fn tell(notice: Notice, input: Input, out: &mut Vec<PresenceEffect>) {
        out.extend([PresenceEffect::Noticed(notice), PresenceEffect::Tell(input)]);
    }

    fn heed_cluster(&mut self, now: Time, effects: Vec<ClusterEffect>, out: &mut Vec<PresenceEffect>) {
        for effect in effects {
            match effect {
                ClusterEffect::Send { to, bytes } => {
                    self.keep_link(to, out);
                    out.push(PresenceEffect::Swim { to: to.member.node, bytes });
                }
                ClusterEffect::Up(id) => {
                    out.push(PresenceEffect::Noticed(Notice::Up(id)));
                    self.keep_link(id, out);
                    self.watch(now, id.member.node, out);
                    out.push(PresenceEffect::Tell(Input::Contacts(vec![id.member.node])));
                }
                ClusterEffect::Down(id) => {
                    out.push(PresenceEffect::Noticed(Notice::Down(id)));
                    // Whoever was declared down by mistake comes back by itself; a declared node is
                    // wanted in any case.
                    if !self.declared.contains(&id.member.node) {
                        self.lost.remove(&id.member.node);
                        self.dialed.remove(&id.member.node);
                        out.push(PresenceEffect::ForgetLink(id.member.node));
                        self.let_go(now, id.member.node, out);
                    }
                }
                ClusterEffect::WakeAt(at) => out.push(PresenceEffect::WakeClusterAt(at)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
