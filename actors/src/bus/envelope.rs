//! What stands before a publication inside the group. It travels beside the payload, which is never
//! copied into it.

use bytes::Bytes;
use quorate_protocols::bus::{Stamp, Subject};
use serde::{Deserialize, Serialize};

/// Header of a publication.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Envelope {
    pub(crate) stamp: Stamp,
    pub(crate) subject: Subject,
    pub(crate) reply_to: Option<Subject>,
}

/// A message of a group with bound subjects.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Opened {
    /// Sent to the group itself.
    Raw,
    /// Published on a subject.
    Published(Envelope),
}

/// What stands before a publication. Nothing stands before what is sent to the group itself.
pub(crate) fn head(envelope: &Envelope) -> Result<Bytes, rmp_serde::encode::Error> {
    rmp_serde::to_vec(envelope).map(Bytes::from)
}

/// Reads what stands before a message; `None` if no correct member has made it.
pub(crate) fn open(head: &[u8]) -> Option<Opened> {
    if head.is_empty() {
        return Some(Opened::Raw);
    }
    let mut rest = head;
    let envelope = rmp_serde::from_read(&mut rest).ok()?;
    rest.is_empty().then_some(Opened::Published(envelope))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_membership::{Incarnation, Member, NodeId};
    use quorate_protocols::bus::PublisherId;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_before_a_publication_is_read_again(number: u64, previous: u64, settled: u64) {
            let member = Member::new(NodeId::new(7), Incarnation::new(number));
            let stamp = Stamp { publisher: PublisherId { member, session: 1 }, number, previous, settled };
            let envelope = Envelope { stamp, subject: "a.b".parse().unwrap(), reply_to: None };
            let head = head(&envelope).unwrap();
            prop_assert_eq!(open(&[&head[..], b"?"].concat()), None);
            prop_assert_eq!(open(&head), Some(Opened::Published(envelope)));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_are_what_could_have_been_written(bytes: Vec<u8>) {
            if let Some(Opened::Published(envelope)) = open(&bytes) {
                let again = head(&envelope).unwrap();
                prop_assert_eq!(open(&again), Some(Opened::Published(envelope)));
            }
        }

        #[test]
        fn a_damaged_head_is_refused_or_is_what_could_have_been_written(
            place in any::<prop::sample::Index>(), byte: u8, replies: bool,
        ) {
            let member = Member::new(NodeId::new(7), Incarnation::new(1));
            let publisher = PublisherId { member, session: 1 };
            let stamp = Stamp { publisher, number: 3, previous: 2, settled: 1 };
            let reply_to = replies.then(|| "c".parse().unwrap());
            let envelope = Envelope { stamp, subject: "a.b".parse().unwrap(), reply_to };
            let mut bytes = head(&envelope).unwrap().to_vec();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            match open(&bytes) {
                Some(Opened::Published(envelope)) => {
                    let again = head(&envelope).unwrap();
                    prop_assert_eq!(open(&again), Some(Opened::Published(envelope)));
                }
                opened => prop_assert_eq!(opened, None),
            }
        }
    }

    #[test]
    fn nothing_stands_before_what_is_sent_to_the_group_itself() {
        assert_eq!(open(b""), Some(Opened::Raw));
    }
}
