//! Publishers that wait for subscribers on other nodes.
//!
//! A subscriber that holds publishers back and has no room left says so to all linked nodes, and again once
//! it has. Meanwhile a message that goes to its node and that it wants is acknowledged to its publisher only
//! after that. What is published before a node hears of it waits at the subscriber, as all else does.

use std::{collections::BTreeMap, rc::Rc};

use quorate_membership::NodeId;
use quorate_protocols::bus::{Interest, LinkId, Subject, SubscriptionId, Want};

use super::{BusActor, Overflow, local::Receipt, talk::Talk};
use crate::wire::Malformed;

/// For what on other nodes publishers wait.
#[derive(Debug, Default)]
pub(super) struct Holders(BTreeMap<NodeId, Linked>);

/// What is wanted at a linked node and has no room there, and who waits for it.
#[derive(Debug)]
struct Linked {
    link: LinkId,
    full: BTreeMap<Want, Vec<Rc<Receipt>>>,
}

impl Holders {
    pub(super) fn up(&mut self, node: NodeId, link: LinkId) {
        self.0.insert(node, Linked { link, full: BTreeMap::new() });
    }

    /// Nobody waits for a node that is gone.
    pub(super) fn down(&mut self, node: NodeId, link: LinkId) {
        if self.0.get(&node).is_some_and(|it| it.link == link) {
            self.0.remove(&node);
        }
    }

    /// Somebody at a node has no room. What comes late, from a link that is gone, says nothing.
    ///
    /// # Errors
    /// [`Malformed`] if no node can want so much.
    pub(super) fn hold(&mut self, node: NodeId, link: LinkId, want: Want) -> Result<(), Malformed> {
        let Some(linked) = self.0.get_mut(&node).filter(|it| it.link == link) else { return Ok(()) };
        if linked.full.len() >= Interest::WANTS_MAX {
            return Err(Malformed("bus"));
        }
        linked.full.entry(want).or_default();
        Ok(())
    }

    /// All who want this there have room again, or are gone.
    pub(super) fn release(&mut self, node: NodeId, link: LinkId, want: &Want) {
        if let Some(linked) = self.0.get_mut(&node).filter(|it| it.link == link) {
            linked.full.remove(want);
        }
    }

    /// The publisher of a message waits as long as somebody at the node that it goes to has no room for it: a
    /// plain subscriber if it is for those, or one of these queue groups.
    pub(super) fn wait(
        &mut self,
        node: NodeId,
        subject: &Subject,
        (plain, queues): (bool, &[String]),
        receipt: &Rc<Receipt>,
    ) {
        let full = self.0.get_mut(&node).into_iter().flat_map(|linked| &mut linked.full);
        for (want, waiting) in full {
            let goes = want.queue.as_ref().map_or(plain, |queue| queues.contains(queue));
            if goes && want.pattern.matches(subject) {
                waiting.push(Rc::clone(receipt));
            }
        }
    }
}

impl BusActor {
    /// A subscriber here got what another node has passed on: if it waits, publishers there are to wait, too.
    pub(super) fn hold_back(&mut self, id: SubscriptionId) {
        let Some(local) = self.locals.get_mut(&id) else { return };
        let waits = local.overflow == Overflow::Backpressure && local.has_backlog();
        if !waits || std::mem::replace(&mut local.holds, true) {
            return;
        }
        let holding = self.holding.entry(local.want.clone()).or_default();
        *holding += 1;
        if *holding == 1 {
            self.peers.say_all(&Talk::Hold(local.want.clone()));
        }
    }

    /// A node is linked: it has not heard who has no room.
    pub(super) fn tell_holders(&self, to: NodeId) {
        for want in self.holding.keys() {
            self.peers.say(to, &Talk::Hold(want.clone()));
        }
    }

    /// A subscriber here that held publishers back has room again, or is gone.
    pub(super) fn let_go(&mut self, want: &Want) {
        let Some(holding) = self.holding.get_mut(want) else { return };
        *holding -= 1;
        if *holding == 0 {
            self.holding.remove(want);
            self.peers.say_all(&Talk::Go(want.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::{self, error::TryRecvError};

    use super::*;
    use crate::group::Done;

    const NODE: NodeId = NodeId::new(2);

    fn link(number: u64) -> LinkId {
        LinkId::new(number)
    }

    fn want(pattern: &str, queue: Option<&str>) -> Want {
        Want { pattern: pattern.parse().unwrap(), queue: queue.map(str::to_owned) }
    }

    /// Publishes for plain subscribers at the node, or for a queue group there; says whether the
    /// publisher waits.
    fn publish(holders: &mut Holders, subject: &str, queue: Option<&str>) -> impl FnMut() -> bool + use<> {
        let (done, mut told) = oneshot::channel();
        let receipt = Receipt::new(Done::Once(done, None));
        let queues: Vec<String> = queue.map(str::to_owned).into_iter().collect();
        holders.wait(NODE, &subject.parse().unwrap(), (queue.is_none(), &queues), &receipt);
        drop(receipt);
        let mut waits = true;
        move || {
            waits = waits && told.try_recv().err() == Some(TryRecvError::Empty);
            waits
        }
    }

    #[test]
    fn who_publishes_what_somebody_has_no_room_for_waits_until_there_is_room() {
        let mut holders = Holders::default();
        holders.up(NODE, link(1));
        assert!(!publish(&mut holders, "a.b", None)(), "nobody holds back");
        holders.hold(NODE, link(1), want("a.*", None)).unwrap();
        holders.hold(NODE, link(1), want("*.b", None)).unwrap();
        let mut waits = publish(&mut holders, "a.b", None);
        assert!(waits() && !publish(&mut holders, "b.c", None)(), "what nobody wants is let pass");
        holders.release(NODE, link(1), &want("a.*", None));
        assert!(waits(), "the other one has no room either");
        holders.release(NODE, link(1), &want("*.b", None));
        assert!(!waits());
    }

    #[test]
    fn a_message_waits_for_those_only_to_whom_it_goes() {
        let mut holders = Holders::default();
        holders.up(NODE, link(1));
        holders.hold(NODE, link(1), want("a", Some("full"))).unwrap();
        assert!(!publish(&mut holders, "a", None)() && !publish(&mut holders, "a", Some("other"))());
        assert!(publish(&mut holders, "a", Some("full"))());
        holders.hold(NODE, link(1), want(">", None)).unwrap();
        assert!(publish(&mut holders, "a", None)() && !publish(&mut holders, "a", Some("other"))());
    }

    #[test]
    fn nobody_waits_for_a_node_that_is_gone_whatever_comes_late() {
        let (mut holders, all) = (Holders::default(), want(">", None));
        holders.up(NODE, link(1));
        holders.hold(NODE, link(1), all.clone()).unwrap();
        let mut waits = publish(&mut holders, "a", None);
        assert!(waits());
        holders.down(NODE, link(1));
        assert!(!waits());
        holders.hold(NODE, link(1), all.clone()).unwrap();
        assert!(!publish(&mut holders, "a", None)());
        holders.up(NODE, link(2));
        holders.hold(NODE, link(1), all.clone()).unwrap();
        assert!(!publish(&mut holders, "a", None)());
        holders.down(NODE, link(1));
        holders.hold(NODE, link(2), all).unwrap();
        assert!(publish(&mut holders, "a", None)());
    }

    #[test]
    fn more_than_a_node_can_want_is_refused() {
        let mut holders = Holders::default();
        holders.up(NODE, link(1));
        for number in 0..Interest::WANTS_MAX {
            holders.hold(NODE, link(1), want(&number.to_string(), None)).unwrap();
        }
        assert!(holders.hold(NODE, link(1), want("one.more", None)).is_err());
    }
}
