//! Publishers that wait for subscribers on other nodes.
//!
//! A subscriber that holds publishers back and has no room left has its node say so to all linked nodes, and
//! again once it has. Meanwhile a message that goes to its node and that it wants is acknowledged to its
//! publisher only after that. What is published before a node hears of it waits at the subscriber, as all
//! else does.

use std::collections::BTreeMap;

use quorate_membership::NodeId;

use super::{Interest, LinkId, Subject, TooManyWants, Want};

/// For what publishers wait: what subscribers here have no room for, and what those on other nodes have not.
///
/// `W` stands for a publisher that waits. It is dropped when one need for that is over, so what it holds
/// is let go when all clones are dropped.
#[derive(Debug)]
pub struct Holders<W> {
    /// What has no room here, and how many subscribers hold publishers back for it.
    own: BTreeMap<Want, usize>,
    peers: BTreeMap<NodeId, Peer<W>>,
}

/// What has no room at a linked node, and who waits for it.
#[derive(Debug)]
struct Peer<W> {
    link: LinkId,
    full: BTreeMap<Want, Vec<W>>,
}

impl<W> Default for Holders<W> {
    fn default() -> Self {
        Self { own: BTreeMap::new(), peers: BTreeMap::new() }
    }
}

impl<W: Clone> Holders<W> {
    /// A node is linked. Returns what it has not heard of: all that has no room here.
    pub fn on_link(&mut self, node: NodeId, link: LinkId) -> impl Iterator<Item = &Want> {
        self.peers.insert(node, Peer { link, full: BTreeMap::new() });
        self.own.keys()
    }

    /// Its link is gone: nobody waits for it any more.
    pub fn on_unlink(&mut self, node: NodeId, link: LinkId) {
        if self.peers.get(&node).is_some_and(|peer| peer.link == link) {
            self.peers.remove(&node);
        }
    }

    /// A subscriber here begins to hold publishers back. Returns whether all linked nodes are to be told.
    pub fn hold(&mut self, want: Want) -> bool {
        let holding = self.own.entry(want).or_default();
        *holding += 1;
        *holding == 1
    }

    /// One that did has room again, or is gone. Returns whether all linked nodes are to be told.
    pub fn let_go(&mut self, want: &Want) -> bool {
        let Some(holding) = self.own.get_mut(want) else { return false };
        *holding -= 1;
        let is_last = *holding == 0;
        if is_last {
            self.own.remove(want);
        }
        is_last
    }

    /// Somebody at a node has no room. What comes late, from a link that is gone, says nothing.
    ///
    /// # Errors
    /// [`TooManyWants`]: nothing has changed.
    pub fn on_hold(&mut self, node: NodeId, link: LinkId, want: Want) -> Result<(), TooManyWants> {
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.link == link) else { return Ok(()) };
        if peer.full.len() >= Interest::WANTS_MAX && !peer.full.contains_key(&want) {
            return Err(TooManyWants);
        }
        peer.full.entry(want).or_default();
        Ok(())
    }

    /// All who want this there have room again, or are gone.
    pub fn on_go(&mut self, node: NodeId, link: LinkId, want: &Want) {
        if let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.link == link) {
            peer.full.remove(want);
        }
    }

    /// Whether somebody who publishes a subject for plain subscribers at a node waits for one of them.
    pub fn holds(&self, node: NodeId, subject: &Subject) -> bool {
        let full = self.peers.get(&node).into_iter().flat_map(|peer| peer.full.keys());
        full.filter(|want| want.queue.is_none()).any(|want| want.pattern.matches(subject))
    }

    /// A message goes to a node, for plain subscribers or for these queue groups there: its publisher
    /// waits as long as one of those has no room for it.
    pub fn wait(&mut self, node: NodeId, subject: &Subject, plain: bool, queues: &[String], publisher: &W) {
        let full = self.peers.get_mut(&node).into_iter().flat_map(|peer| &mut peer.full);
        for (want, waiting) in full {
            let goes = want.queue.as_ref().map_or(plain, |queue| queues.contains(queue));
            if goes && want.pattern.matches(subject) {
                waiting.push(publisher.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    const NODE: NodeId = NodeId::new(2);

    fn link(number: u64) -> LinkId {
        LinkId::new(number)
    }

    fn want(pattern: &str, queue: Option<&str>) -> Want {
        Want { pattern: pattern.parse().unwrap(), queue: queue.map(str::to_owned) }
    }

    /// Nobody wants anything at the node so far.
    fn linked() -> Holders<Rc<()>> {
        let mut holders = Holders::default();
        assert_eq!(holders.on_link(NODE, link(1)).count(), 0);
        holders
    }

    /// Publishes for plain subscribers at the node, or for a queue group there; says whether the
    /// publisher waits.
    fn publish(
        holders: &mut Holders<Rc<()>>,
        subject: &str,
        queue: Option<&str>,
    ) -> impl Fn() -> bool + use<> {
        let publisher = Rc::new(());
        let queues: Vec<String> = queue.map(str::to_owned).into_iter().collect();
        holders.wait(NODE, &subject.parse().unwrap(), queue.is_none(), &queues, &publisher);
        move || Rc::strong_count(&publisher) > 1
    }

    #[test]
    fn who_publishes_what_somebody_has_no_room_for_waits_until_there_is_room() {
        let mut holders = linked();
        assert!(!publish(&mut holders, "a.b", None)(), "nobody holds back");
        holders.on_hold(NODE, link(1), want("a.*", None)).unwrap();
        holders.on_hold(NODE, link(1), want("*.b", None)).unwrap();
        let waits = publish(&mut holders, "a.b", None);
        assert!(waits() && !publish(&mut holders, "b.c", None)(), "what nobody wants is let pass");
        holders.on_go(NODE, link(1), &want("a.*", None));
        assert!(waits(), "the other one has no room either");
        holders.on_go(NODE, link(1), &want("*.b", None));
        assert!(!waits());
    }

    #[test]
    fn a_message_waits_for_those_only_to_whom_it_goes() {
        let mut holders = linked();
        holders.on_hold(NODE, link(1), want("a", Some("full"))).unwrap();
        assert!(!publish(&mut holders, "a", None)() && !publish(&mut holders, "a", Some("other"))());
        assert!(publish(&mut holders, "a", Some("full"))());
        holders.on_hold(NODE, link(1), want(">", None)).unwrap();
        assert!(publish(&mut holders, "a", None)() && !publish(&mut holders, "a", Some("other"))());
    }

    #[test]
    fn nobody_waits_for_a_node_that_is_gone_whatever_comes_late() {
        let (mut holders, all) = (linked(), want(">", None));
        holders.on_hold(NODE, link(1), all.clone()).unwrap();
        let waits = publish(&mut holders, "a", None);
        assert!(waits());
        holders.on_unlink(NODE, link(1));
        assert!(!waits());
        holders.on_hold(NODE, link(1), all.clone()).unwrap();
        assert!(!publish(&mut holders, "a", None)());
        assert_eq!(holders.on_link(NODE, link(2)).count(), 0);
        holders.on_hold(NODE, link(1), all.clone()).unwrap();
        assert!(!publish(&mut holders, "a", None)());
        holders.on_unlink(NODE, link(1));
        holders.on_hold(NODE, link(2), all).unwrap();
        assert!(publish(&mut holders, "a", None)());
    }

    #[test]
    fn others_are_told_of_the_first_who_has_no_room_and_of_the_last_who_has_it_again() {
        let (mut holders, slow) = (linked(), want("slow", None));
        assert!(!holders.let_go(&slow), "nobody held back");
        assert!(holders.hold(slow.clone()) && !holders.hold(slow.clone()));
        assert!(holders.on_link(NODE, link(2)).eq([&slow]), "a node that is linked later is told at once");
        assert!(!holders.let_go(&slow) && holders.let_go(&slow) && !holders.let_go(&slow));
        assert_eq!(holders.on_link(NODE, link(3)).count(), 0);
    }

    #[test]
    fn more_than_a_node_can_want_is_refused() {
        let mut holders = linked();
        for number in 0..Interest::WANTS_MAX {
            holders.on_hold(NODE, link(1), want(&number.to_string(), None)).unwrap();
        }
        assert_eq!(holders.on_hold(NODE, link(1), want("0", None)), Ok(()), "that is nothing new");
        assert_eq!(holders.on_hold(NODE, link(1), want("one.more", None)), Err(TooManyWants));
    }
}
