//! Publications that are not acknowledged yet.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocols::bus::{Acknowledged, PublisherId, Stamp, Subject};

use super::talk::Ask;
use crate::group::Done;

/// How a publication is told to the node that is used.
#[derive(Debug)]
pub(super) enum Kind {
    /// The user's own; the node knows where it goes.
    Own { must_reach: bool },
    /// To the one group for which the node is used.
    Stamped(Stamp),
    /// A multicast to a group of the node.
    Multicast { group: String },
}

/// A publication that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct Pending {
    kind: Kind,
    subject: Option<Subject>,
    reply_to: Option<Subject>,
    payload: Bytes,
    pub(super) done: Done,
}

impl Pending {
    const fn may_be_repeated(&self) -> bool {
        !matches!(self.kind, Kind::Multicast { .. })
    }
}

/// All of them, by their numbers, which grow.
#[derive(Debug)]
pub(super) struct Pendings {
    publisher: PublisherId,
    last: u64,
    /// The last number under which this node itself has published to the one group.
    last_own: u64,
    /// How far others have come that publish to the one group through this node.
    others: Acknowledged,
    open: BTreeMap<u64, Pending>,
}

impl Pendings {
    pub(super) fn new(publisher: PublisherId) -> Self {
        Self { publisher, last: 0, last_own: 0, others: Acknowledged::default(), open: BTreeMap::new() }
    }

    /// All numbers up to this one are acknowledged.
    pub(super) fn settled(&self) -> u64 {
        self.open.first_key_value().map_or(self.last, |(first, _)| first - 1)
    }

    /// The last number that was used.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// Adds the user's own publication.
    pub(super) fn add(
        &mut self,
        subject: Subject,
        reply_to: Option<Subject>,
        payload: Bytes,
        must_reach: bool,
        done: Done,
    ) -> u64 {
        self.keep(Pending { kind: Kind::Own { must_reach }, subject: Some(subject), reply_to, payload, done })
    }

    /// Adds one to the one group; without a stamp it is this node's own.
    pub(super) fn add_stamped(
        &mut self,
        stamp: Option<Stamp>,
        subject: Subject,
        reply_to: Option<Subject>,
        payload: Bytes,
        done: Done,
    ) -> u64 {
        let own = Stamp {
            publisher: self.publisher,
            number: self.last + 1,
            previous: self.last_own,
            settled: self.settled(),
        };
        if stamp.is_none() {
            self.last_own = own.number;
        }
        let kind = Kind::Stamped(stamp.unwrap_or(own));
        self.keep(Pending { kind, subject: Some(subject), reply_to, payload, done })
    }

    /// Adds a multicast.
    pub(super) fn add_multicast(&mut self, group: String, payload: Bytes, done: Done) -> u64 {
        let kind = Kind::Multicast { group };
        self.keep(Pending { kind, subject: None, reply_to: None, payload, done })
    }

    fn keep(&mut self, pending: Pending) -> u64 {
        self.last += 1;
        self.open.insert(self.last, pending);
        self.last
    }

    /// Ends one of them, which has passed or not.
    pub(super) fn take(&mut self, number: u64, passed: bool) -> Option<Pending> {
        let pending = self.open.remove(&number)?;
        if let Kind::Stamped(stamp) = pending.kind
            && passed
            && stamp.publisher != self.publisher
        {
            self.others.note(stamp.publisher, stamp.number);
        }
        Some(pending)
    }

    /// A stamp with what is settled by now: another node may know nothing of that.
    fn renew(&self, stamp: Stamp) -> Stamp {
        if stamp.publisher == self.publisher {
            stamp.settled_through(self.settled())
        } else {
            self.others.renew(stamp)
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether one of them may be published again without coming twice to anybody.
    pub(super) fn may_be_repeated(&self, number: u64) -> bool {
        self.open.get(&number).is_some_and(Pending::may_be_repeated)
    }

    /// All that are open, in order.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    /// What is asked of the node for one of them.
    pub(super) fn ask(&self, number: u64, again: bool) -> Option<(Ask, Bytes)> {
        let settled = self.settled();
        let pending = self.open.get(&number)?;
        let reply_to = pending.reply_to.clone();
        let ask = match &pending.kind {
            Kind::Own { must_reach } => Ask::Publish {
                number,
                settled,
                again,
                must_reach: *must_reach,
                subject: pending.subject.clone()?,
                reply_to,
            },
            Kind::Stamped(stamp) => Ask::Forward {
                number,
                stamp: self.renew(*stamp),
                subject: pending.subject.clone()?,
                reply_to,
            },
            Kind::Multicast { group } => Ask::Send { number, group: group.clone() },
        };
        Some((ask, pending.payload.clone()))
    }

    /// Those that were under way when the node was lost, in order. Multicasts are not among them:
    /// they cannot be sent twice.
    pub(super) fn lost(&mut self) -> (Vec<u64>, Vec<Pending>) {
        let numbers: Vec<u64> =
            self.open.iter().filter(|(_, it)| !it.may_be_repeated()).map(|(n, _)| *n).collect();
        let failed = numbers.iter().filter_map(|number| self.open.remove(number)).collect();
        (self.open.keys().copied().collect(), failed)
    }

    /// Ends all of them.
    pub(super) fn drain(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.open).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use quorate_membership::{Incarnation, Member, NodeId};
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn what_goes_to_another_node_says_what_was_acknowledged_since_it_was_stamped() {
        let publisher =
            |node| PublisherId { member: Member::new(NodeId::new(node), Incarnation::new(1)), session: 0 };
        let mut pendings = Pendings::new(publisher(1));
        let of_other = |number| Stamp { publisher: publisher(2), number, previous: number - 1, settled: 0 };
        for stamps in [[None, None], [Some(of_other(1)), Some(of_other(2))]] {
            let [first, second] = stamps.map(|stamp| {
                let done = Done::Once(oneshot::channel().0, None);
                pendings.add_stamped(stamp, "log.a".parse().expect("a subject"), None, Bytes::new(), done)
            });
            let settled = |pendings: &Pendings| match pendings.ask(second, true) {
                Some((Ask::Forward { stamp, .. }, _)) => stamp.settled,
                other => panic!("{other:?}"),
            };
            assert_eq!(settled(&pendings), 0);
            pendings.take(first, true);
            assert_eq!(settled(&pendings), 1);
            pendings.take(second, true);
        }
    }
}
