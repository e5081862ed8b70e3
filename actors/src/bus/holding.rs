//! Publishers that wait for subscribers on other nodes.
//!
//! A subscriber that holds publishers back and has no room left says so to all linked nodes, and again once
//! it has. Meanwhile a message that goes to its node and that it wants is acknowledged to its publisher only
//! after that. What is published before a node hears of it waits at the subscriber, as all else does.

use std::{collections::BTreeMap, rc::Rc};

use quorate_membership::NodeId;
use quorate_protocols::bus::{Interest, LinkId, Pattern, Subject, SubscriptionId};

use super::{
    BusActor, Overflow,
    local::{Local, Receipt},
    talk::Talk,
};
use crate::wire::Malformed;

/// Those on other nodes for whom publishers wait.
#[derive(Debug, Default)]
pub(super) struct Holders(BTreeMap<NodeId, Linked>);

#[derive(Debug)]
struct Linked {
    link: LinkId,
    holders: BTreeMap<SubscriptionId, Holder>,
}

/// A subscriber without room, and who waits for it.
#[derive(Debug)]
struct Holder {
    pattern: Pattern,
    waiting: Vec<Rc<Receipt>>,
}

impl Holders {
    pub(super) fn up(&mut self, node: NodeId, link: LinkId) {
        self.0.insert(node, Linked { link, holders: BTreeMap::new() });
    }

    /// Nobody waits for a node that is gone.
    pub(super) fn down(&mut self, node: NodeId, link: LinkId) {
        if self.0.get(&node).is_some_and(|it| it.link == link) {
            self.0.remove(&node);
        }
    }

    /// A subscriber at a node has no room. What comes late, from a link that is gone, says nothing.
    ///
    /// # Errors
    /// [`Malformed`] if no node can have so many.
    fn hold(
        &mut self,
        node: NodeId,
        link: LinkId,
        id: SubscriptionId,
        pattern: Pattern,
    ) -> Result<(), Malformed> {
        let Some(linked) = self.0.get_mut(&node).filter(|it| it.link == link) else { return Ok(()) };
        if linked.holders.len() >= Interest::WANTS_MAX {
            return Err(Malformed("bus"));
        }
        linked.holders.entry(id).or_insert_with(|| Holder { pattern, waiting: Vec::new() });
        Ok(())
    }

    /// It has room again, or is gone.
    fn release(&mut self, node: NodeId, link: LinkId, id: SubscriptionId) {
        if let Some(linked) = self.0.get_mut(&node).filter(|it| it.link == link) {
            linked.holders.remove(&id);
        }
    }

    /// The publisher of a message to a node waits as long as somebody there has no room for it.
    pub(super) fn wait(&mut self, node: NodeId, subject: &Subject, receipt: &Rc<Receipt>) {
        let holders = self.0.get_mut(&node).into_iter().flat_map(|linked| linked.holders.values_mut());
        for holder in holders.filter(|holder| holder.pattern.matches(subject)) {
            holder.waiting.push(Rc::clone(receipt));
        }
    }
}

impl BusActor {
    /// A subscriber here keeps what another node has passed on: publishers there are to wait.
    pub(super) fn hold_back(&mut self, id: SubscriptionId) {
        let Some(local) = self.locals.get_mut(&id) else { return };
        if local.overflow == Overflow::Backpressure && !std::mem::replace(&mut local.holds, true) {
            self.peers.say_all(&hold(id, local));
        }
    }

    /// A node is linked: it has not heard who has no room.
    pub(super) fn tell_holders(&self, to: NodeId) {
        for (id, local) in self.locals.iter().filter(|(_, local)| local.holds) {
            self.peers.say(to, &hold(*id, local));
        }
    }

    /// A subscriber here has room again, or is gone.
    pub(super) fn let_go(&self, id: SubscriptionId) {
        self.peers.say_all(&Talk::Go(id));
    }

    /// Another node says who there has no room, or has.
    pub(super) fn on_hold(
        &mut self,
        from: NodeId,
        link: LinkId,
        id: SubscriptionId,
        pattern: Option<Pattern>,
    ) -> Result<(), Malformed> {
        if let Some(pattern) = pattern {
            return self.holders.hold(from, link, id, pattern);
        }
        self.holders.release(from, link, id);
        Ok(())
    }
}

fn hold(id: SubscriptionId, local: &Local) -> Talk {
    Talk::Hold(id, local.want.pattern.clone())
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

    /// Publishes on a subject to the node; says whether the publisher waits.
    fn publish(holders: &mut Holders, subject: &str) -> impl FnMut() -> bool + use<> {
        let (done, mut told) = oneshot::channel();
        let receipt = Receipt::new(Done::Once(done, None));
        holders.wait(NODE, &subject.parse().unwrap(), &receipt);
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
        assert!(!publish(&mut holders, "a.b")(), "nobody holds back");
        for id in [1, 2] {
            holders.hold(NODE, link(1), id, "a.*".parse().unwrap()).unwrap();
        }
        let mut waits = publish(&mut holders, "a.b");
        assert!(waits() && !publish(&mut holders, "b.b")(), "what it does not want is let pass");
        holders.release(NODE, link(1), 1);
        assert!(waits(), "the other one has no room either");
        holders.release(NODE, link(1), 2);
        assert!(!waits());
    }

    #[test]
    fn nobody_waits_for_a_node_that_is_gone_whatever_comes_late() {
        let mut holders = Holders::default();
        holders.up(NODE, link(1));
        holders.hold(NODE, link(1), 1, ">".parse().unwrap()).unwrap();
        let mut waits = publish(&mut holders, "a");
        assert!(waits());
        holders.down(NODE, link(1));
        assert!(!waits());
        holders.hold(NODE, link(1), 1, ">".parse().unwrap()).unwrap();
        assert!(!publish(&mut holders, "a")());
        holders.up(NODE, link(2));
        holders.hold(NODE, link(1), 1, ">".parse().unwrap()).unwrap();
        assert!(!publish(&mut holders, "a")());
        holders.down(NODE, link(1));
        holders.hold(NODE, link(2), 1, ">".parse().unwrap()).unwrap();
        assert!(publish(&mut holders, "a")());
    }

    #[test]
    fn more_than_a_node_can_have_is_refused() {
        let mut holders = Holders::default();
        holders.up(NODE, link(1));
        let pattern: Pattern = ">".parse().unwrap();
        for id in 0..Interest::WANTS_MAX as u64 {
            holders.hold(NODE, link(1), id, pattern.clone()).unwrap();
        }
        assert!(holders.hold(NODE, link(1), u64::MAX, pattern).is_err());
    }
}
