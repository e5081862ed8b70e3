//! What a message to a group with bound subjects looks like inside the group.

use bytes::{BufMut, Bytes, BytesMut};
use quorate_protocols::bus::{Stamp, Subject};
use serde::{Deserialize, Serialize};

const RAW: u8 = 0;
const PUBLISHED: u8 = 1;

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
    Raw(Bytes),
    /// Published on a subject.
    Published(Envelope, Bytes),
}

/// Wraps what is sent to the group itself.
pub(crate) fn wrap_raw(payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.len() + 1);
    bytes.put_u8(RAW);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// Wraps a publication.
pub(crate) fn wrap(envelope: &Envelope, payload: &[u8]) -> Result<Bytes, rmp_serde::encode::Error> {
    let header = rmp_serde::to_vec(envelope)?;
    let mut bytes = BytesMut::with_capacity(header.len() + payload.len() + 3);
    bytes.put_u8(PUBLISHED);
    // Two subjects of 255 bytes and some numbers: far below the limit.
    bytes.put_u16(header.len() as u16);
    bytes.put_slice(&header);
    bytes.put_slice(payload);
    Ok(bytes.freeze())
}

/// Takes a message apart; `None` if no correct member has made it.
pub(crate) fn open(mut bytes: Bytes) -> Option<Opened> {
    match *bytes.first()? {
        RAW => Some(Opened::Raw(bytes.split_off(1))),
        PUBLISHED => {
            let length = usize::from(u16::from_be_bytes([*bytes.get(1)?, *bytes.get(2)?]));
            let payload = (3 + length <= bytes.len()).then(|| bytes.split_off(3 + length))?;
            Some(Opened::Published(rmp_serde::from_slice(&bytes[3..]).ok()?, payload))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_membership::{Incarnation, Member, NodeId};
    use quorate_protocols::bus::PublisherId;

    use super::*;

    proptest! {
        #[test]
        fn what_was_wrapped_is_found_again(payload: Vec<u8>, number: u64, previous: u64, settled: u64) {
            let member = Member::new(NodeId::new(7), Incarnation::new(number));
            let stamp = Stamp { publisher: PublisherId { member, session: 1 }, number, previous, settled };
            let envelope = Envelope { stamp, subject: "a.b".parse().unwrap(), reply_to: None };
            let wrapped = wrap(&envelope, &payload).unwrap();
            prop_assert_eq!(open(wrapped), Some(Opened::Published(envelope, payload.clone().into())));
            prop_assert_eq!(open(wrap_raw(&payload)), Some(Opened::Raw(payload.into())));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_understood(bytes: Vec<u8>) {
            let _ = open(bytes.into());
        }
    }
}
