//! What is published into a bound group through one of its members: by the applications of its node, and
//! by clients that use it.

use bytes::Bytes;
use quorate_membership::{GroupId, Incarnation, Member, NodeId};
use quorate_protocols::{
    Group, Input, Ticket,
    bus::{PublisherId, Settlement, Stamp},
};

use super::{World, client::Tell, network::What, session::Asker};

/// Something that is published, on its way through a member.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) group: GroupId,
    pub(super) stamp: Stamp,
    /// Names what is published, however often it is handed in.
    pub(super) content: u64,
    /// Its subject, if queue groups get it.
    pub(super) subject: String,
    /// In which stay of the node in the group it was handed in.
    pub(super) stay: u64,
    /// The client that waits for it; it is the node's own if there is none.
    pub(super) asker: Option<Asker>,
}

/// A message that a group carries for this node, and whose fate is not known.
#[derive(Clone, Debug)]
pub(super) struct Submitted {
    pub(super) payloads: Vec<Bytes>,
    pub(super) publication: Option<Publication>,
}

/// What stands before a publication in its group.
fn head(stamp: &Stamp) -> Bytes {
    let Stamp { publisher: PublisherId { member, session }, number, previous, settled } = stamp;
    let words = [member.node.get(), member.incarnation.get(), *session, *number, *previous, *settled];
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// What a publisher has written on a message, if it was published.
pub(super) fn stamp_of(head: &[u8]) -> Option<Stamp> {
    let word = |index: usize| Some(u64::from_be_bytes(head.get(index * 8..index * 8 + 8)?.try_into().ok()?));
    let member = Member::new(NodeId::new(word(0)?), Incarnation::new(word(1)?));
    let publisher = PublisherId { member, session: word(2)? };
    Some(Stamp { publisher, number: word(3)?, previous: word(4)?, settled: word(5)? })
}

/// What was published and on which subject, of the payload in the group.
pub(super) fn content_of(payload: &[u8]) -> Option<(u64, &[u8])> {
    let (_, rest) = payload.split_first_chunk::<8>()?;
    let (content, subject) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*content), subject))
}

impl World {
    /// The applications of a node publish into a group that it carries.
    pub(super) fn publish_own(&mut self, life: Member, group: GroupId, subject: String) {
        let content = self.payload();
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let fits = |it: &Group| it.room() > 0 && !it.has_left();
        let Some(bound) = parts.bound.get_mut(&group).filter(|_| parts.groups.get(&group).is_some_and(fits))
        else {
            return;
        };
        let (stamp, stay) = (bound.core.stamp(), bound.stay);
        self.tally.submitted += 1;
        self.submit_published(life, Publication { group, stamp, content, subject, stay, asker: None });
    }

    /// A member submits a publication; it goes on until all members have taken it in or dropped it.
    pub(super) fn submit_published(&mut self, life: Member, publication: Publication) {
        let Publication { group: id, stamp, content, ref subject, stay, .. } = publication;
        let number = self.payload();
        let Some(parts) = self.nodes.get_mut(&life.node).and_then(|node| node.parts.as_mut()) else { return };
        let (Some(group), Some(bound)) = (parts.groups.get(&id), parts.bound.get(&id)) else { return };
        if group.has_left() || bound.stay != stay {
            return; // whoever waits for it goes elsewhere
        }
        if group.room() == 0 {
            return self.soon(20_000..50_000, What::HandIn(life, publication));
        }
        let words = [number, content].into_iter().flat_map(u64::to_be_bytes);
        let payload: Bytes = words.chain(subject.bytes()).collect();
        let ticket = Ticket(number);
        let submitted = Submitted { payloads: vec![payload.clone()], publication: Some(publication) };
        parts.tickets.insert((id, ticket), submitted);
        if let Some(checker) = self.checkers.get_mut(&id) {
            checker.on_submit(life, payload.clone());
        }
        self.feed(life, id, vec![Input::Submit { ticket, head: head(&stamp), payload }]);
    }

    /// The group has told what became of a publication.
    pub(super) fn on_published_fate(&mut self, life: Member, publication: Publication, arrived: bool) {
        let Publication { group, stamp, content, stay, asker, .. } = publication;
        let Some(bound) = self.bound(life, group).filter(|bound| bound.stay == stay) else { return };
        match bound.core.on_fate(stamp, arrived) {
            Settlement::NotYet => return self.soon(1_000..20_000, What::Settle(life, publication)),
            Settlement::Again(stamp) => {
                return self.soon(1_000..20_000, What::HandIn(life, Publication { stamp, ..publication }));
            }
            Settlement::Passed => {}
        }
        self.bus.clients.on_acknowledged(&stamp, content);
        if let Some(Asker { client, session }) = asker {
            self.tell(client, session, Tell::Arrived(stamp.number));
        }
    }
}
