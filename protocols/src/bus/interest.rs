//! Which nodes want what.

use std::collections::{BTreeMap, BTreeSet};

use quorate_membership::NodeId;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Pattern, Subject, index::PatternIndex};

/// What somebody at a node wants.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Want {
    /// The subjects.
    pub pattern: Pattern,
    /// The queue group: of all its subscribers in the cluster one gets each message. Its name has at
    /// most [`Self::QUEUE_BYTES_MAX`] bytes; a longer one is not read.
    #[serde(default, deserialize_with = "short")]
    pub queue: Option<String>,
}

impl Want {
    /// Longest name of a queue group, since each node keeps those of all others.
    pub const QUEUE_BYTES_MAX: usize = 64;
}

fn short<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(from)?;
    match name.as_ref().map(String::len).filter(|bytes| *bytes > Want::QUEUE_BYTES_MAX) {
        Some(bytes) => Err(de::Error::custom(format_args!("a name of a queue group with {bytes} bytes"))),
        None => Ok(name),
    }
}

/// What nodes tell each other about their wants.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Announcement {
    /// All that is wanted; said first on each link.
    Whole(Vec<Want>),
    /// This is wanted from now on.
    Add(Want),
    /// This is no longer wanted.
    Remove(Want),
}

/// Who gets a message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Route {
    /// For each node: whether its plain subscribers get it, and which queue groups are served there.
    pub nodes: BTreeMap<NodeId, (bool, Vec<String>)>,
}

impl Route {
    /// Whether nobody wants the message.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// A peer announces more than is kept of one node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a node announces more than {max} patterns", max = Interest::WANTS_MAX)]
pub struct TooManyWants;

/// Who wants what, as far as this node has been told.
#[derive(Clone, Debug)]
pub struct Interest {
    me: NodeId,
    /// How many subscribers here want the same.
    own: BTreeMap<Want, usize>,
    peers: BTreeMap<NodeId, BTreeSet<Want>>,
    /// All of them: at which node each is wanted, those here first, and for which queue group.
    wanted: PatternIndex<(bool, NodeId, Option<String>)>,
    /// Turns round the nodes that serve a queue group.
    turn: u64,
}

impl Interest {
    /// Wants per node.
    pub const WANTS_MAX: usize = 65_536;

    /// Nobody wants anything yet.
    pub fn new(me: NodeId) -> Self {
        Self { me, own: BTreeMap::new(), peers: BTreeMap::new(), wanted: PatternIndex::default(), turn: 0 }
    }

    /// Somebody here subscribes; returns what the peers have to be told, if it is news.
    ///
    /// # Errors
    /// [`TooManyWants`] if no peer would keep it.
    pub fn subscribe(&mut self, want: &Want) -> Result<Option<Announcement>, TooManyWants> {
        if let Some(count) = self.own.get_mut(want) {
            *count += 1;
            return Ok(None);
        }
        if self.own.len() >= Self::WANTS_MAX {
            return Err(TooManyWants);
        }
        self.own.insert(want.clone(), 1);
        self.wanted.insert(want.pattern.clone(), (false, self.me, want.queue.clone()));
        Ok(Some(Announcement::Add(want.clone())))
    }

    /// Somebody here no longer subscribes; returns what the peers have to be told, if it is news.
    pub fn unsubscribe(&mut self, want: &Want) -> Option<Announcement> {
        let count = self.own.get_mut(want)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.own.remove(want);
        self.wanted.remove(&want.pattern, &(false, self.me, want.queue.clone()));
        Some(Announcement::Remove(want.clone()))
    }

    /// What a peer has to be told first.
    pub fn whole(&self) -> Announcement {
        Announcement::Whole(self.own.keys().cloned().collect())
    }

    /// Takes in what a peer says.
    ///
    /// # Errors
    /// [`TooManyWants`]; what it said before stands.
    pub fn on_announcement(&mut self, from: NodeId, said: Announcement) -> Result<(), TooManyWants> {
        let wants = self.peers.entry(from).or_default();
        match said {
            Announcement::Whole(all) if all.len() > Self::WANTS_MAX => return Err(TooManyWants),
            Announcement::Whole(all) => {
                for want in std::mem::take(wants) {
                    self.wanted.remove(&want.pattern, &(true, from, want.queue));
                }
                *wants = all.into_iter().collect();
                for want in wants.iter() {
                    self.wanted.insert(want.pattern.clone(), (true, from, want.queue.clone()));
                }
            }
            Announcement::Add(_) if wants.len() >= Self::WANTS_MAX => return Err(TooManyWants),
            Announcement::Add(want) => {
                self.wanted.insert(want.pattern.clone(), (true, from, want.queue.clone()));
                wants.insert(want);
            }
            Announcement::Remove(want) => {
                wants.remove(&want);
                self.wanted.remove(&want.pattern, &(true, from, want.queue));
            }
        }
        Ok(())
    }

    /// What each peer wants.
    pub(super) const fn of_peers(&self) -> &BTreeMap<NodeId, BTreeSet<Want>> {
        &self.peers
    }

    /// The link to a peer is gone, and with it what it wanted.
    pub fn forget(&mut self, peer: NodeId) {
        for want in self.peers.remove(&peer).into_iter().flatten() {
            self.wanted.remove(&want.pattern, &(true, peer, want.queue));
        }
    }

    /// Whether anybody at all gets messages of a subject. Nobody's turn passes by asking.
    pub fn is_wanted(&self, subject: &Subject) -> bool {
        self.wanted.find(subject).next().is_some()
    }

    /// Whether no other node and no queue group gets messages of a subject. Nobody's turn passes by
    /// asking.
    pub fn stays_here(&self, subject: &Subject) -> bool {
        let shared = self.own.keys().filter(|want| want.queue.is_some());
        !shared.chain(self.peers.values().flatten()).any(|want| want.pattern.matches(subject))
    }

    /// The nodes, this one included, whose plain subscribers get every message of a subject, until anybody
    /// subscribes or no longer does; `None` if a queue group gets some, so that each message needs
    /// [`Self::route`]. Nobody's turn passes by asking.
    pub fn plain_nodes(&self, subject: &Subject) -> Option<BTreeSet<NodeId>> {
        self.wanted.find(subject).map(|(_, node, queue)| queue.is_none().then_some(*node)).collect()
    }

    /// Decides who gets the next message of a subject. Queue groups take turns.
    pub fn route(&mut self, subject: &Subject) -> Route {
        let mut route = Route::default();
        let mut queues: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
        // Each node once per queue group, in an order that does not depend on its patterns.
        let wanted: BTreeSet<_> = self.wanted.find(subject).collect();
        for (_, node, queue) in wanted {
            match queue {
                None => route.nodes.entry(*node).or_default().0 = true,
                Some(queue) => queues.entry(queue).or_default().push(*node),
            }
        }
        if !queues.is_empty() {
            self.turn = self.turn.wrapping_add(1);
        }
        for (queue, nodes) in queues {
            let chosen = nodes[(self.turn % nodes.len() as u64) as usize];
            route.nodes.entry(chosen).or_default().1.push(queue.to_owned());
        }
        route
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId::new(1);
    const B: NodeId = NodeId::new(2);
    const C: NodeId = NodeId::new(3);

    fn want(pattern: &str, queue: Option<&str>) -> Want {
        Want { pattern: pattern.parse().unwrap(), queue: queue.map(str::to_owned) }
    }

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
    }

    #[test]
    fn a_node_gets_only_what_somebody_there_wants() {
        let mut interest = Interest::new(A);
        interest.subscribe(&want("a.*", None)).unwrap();
        interest.on_announcement(B, Announcement::Whole(vec![want("a.>", None), want("b", None)])).unwrap();
        interest.on_announcement(C, Announcement::Add(want("c", None))).unwrap();
        let nodes = |route: Route| route.nodes.into_keys().collect::<Vec<_>>();
        assert_eq!(nodes(interest.route(&subject("a.1"))), [A, B]);
        assert_eq!(nodes(interest.route(&subject("a.1.2"))), [B]);
        assert_eq!(nodes(interest.route(&subject("c"))), [C]);
        assert!(interest.route(&subject("d")).is_empty());
        interest.forget(C);
        assert!(interest.route(&subject("c")).is_empty());
    }

    #[test]
    fn a_want_with_an_endless_name_of_a_queue_is_not_read() {
        let read = |queue: &str| {
            let bytes = rmp_serde::to_vec(&want("job", Some(queue))).unwrap();
            rmp_serde::from_slice::<Want>(&bytes)
        };
        let name = "q".repeat(Want::QUEUE_BYTES_MAX);
        assert_eq!(read(&name).unwrap(), want("job", Some(&name)));
        assert!(read(&format!("{name}q")).is_err());
    }

    #[test]
    fn peers_hear_of_the_first_and_the_last_subscriber_of_a_pattern() {
        let mut interest = Interest::new(A);
        let x = want("x", None);
        assert_eq!(interest.subscribe(&x), Ok(Some(Announcement::Add(x.clone()))));
        assert_eq!(interest.subscribe(&x), Ok(None));
        assert_eq!(interest.unsubscribe(&x), None);
        assert_eq!(interest.unsubscribe(&x), Some(Announcement::Remove(x.clone())));
        assert_eq!(interest.unsubscribe(&x), None);
    }

    #[test]
    fn one_node_serves_a_queue_group_and_they_take_turns() {
        let mut interest = Interest::new(A);
        interest.subscribe(&want("job", Some("workers"))).unwrap();
        for peer in [B, C] {
            let said = Announcement::Whole(vec![want("job", Some("workers")), want("job", None)]);
            interest.on_announcement(peer, said).unwrap();
        }
        let mut served = BTreeMap::new();
        for _ in 0..30 {
            let route = interest.route(&subject("job"));
            assert!(route.nodes[&B].0 && route.nodes[&C].0, "plain subscribers always get it");
            let chosen: Vec<_> = route.nodes.iter().filter(|(_, to)| !to.1.is_empty()).collect();
            assert_eq!(chosen.len(), 1);
            *served.entry(*chosen[0].0).or_insert(0) += 1;
        }
        assert_eq!(served, BTreeMap::from([(A, 10), (B, 10), (C, 10)]));
    }
}
