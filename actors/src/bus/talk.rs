//! What the buses of two nodes say to each other.

use bytes::Bytes;
use quorate_membership::GroupId;
use quorate_protocols::bus::{Announcement, Carried, Position, Subject};
use quorate_transport::Frame;
use serde::{Deserialize, Serialize};

use crate::wire::Malformed;

/// A frame on the lane of the bus. The payload of a message is the frame's payload, and the rest is its
/// header. What else is said has no header, since all that a node wants is too long for one.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Talk {
    /// What is wanted at the sender.
    Announce { number: u64, said: Announcement },
    /// All announcements up to this one were taken in.
    Heard(u64),
    /// The groups with bound subjects that the sender carries.
    Carries(Vec<Carried>),
    /// A message for subscribers at the receiver.
    Message { subject: Subject, reply_to: Option<Subject>, plain: bool, queues: Vec<String>, at: At },
}

/// The group and the place of a message in its order, if it has one.
pub(crate) type At = Option<(GroupId, Position)>;

impl Talk {
    pub(crate) fn frame(&self, payload: Bytes) -> Result<Frame, rmp_serde::encode::Error> {
        let said: Bytes = rmp_serde::to_vec(self)?.into();
        Ok(match self {
            Self::Message { .. } => Frame { header: said, body: payload.into() },
            _ => Frame { header: Bytes::new(), body: said.into() },
        })
    }

    pub(crate) fn read(frame: Frame) -> Result<(Self, Bytes), Malformed> {
        let header = frame.header.clone();
        let body = frame.into_body();
        let (said, payload) = if header.is_empty() { (body, Bytes::new()) } else { (header, body) };
        let talk = rmp_serde::from_slice(&said).map_err(|_| Malformed("bus"))?;
        Ok((talk, payload))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_protocols::bus::{Interest, Want};
    use quorate_transport::{FrameConfig, codec::check_lengths};

    use super::*;

    #[test]
    fn all_that_a_node_may_want_fits_into_one_frame() {
        let want = |number: usize| {
            let pattern = format!("{number:0>255}").parse().unwrap();
            Want { pattern, queue: Some("q".repeat(Want::QUEUE_BYTES_MAX)) }
        };
        let said = Announcement::Whole((0..Interest::WANTS_MAX).map(want).collect());
        let talk = Talk::Announce { number: 1, said };
        let frame = talk.frame(Bytes::new()).unwrap();
        check_lengths(frame.header.len(), frame.body_bytes(), &FrameConfig::default()).unwrap();
        assert_eq!(Talk::read(frame), Ok((talk, Bytes::new())));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_or_understood(header: Vec<u8>, body: Vec<u8>) {
            let _ = Talk::read(Frame { header: header.into(), body: vec![body.clone().into()].into() });
            let _ = Talk::read(Frame { header: Bytes::new(), body: vec![body.into()].into() });
        }

        #[test]
        fn what_is_written_is_understood(payload: Vec<u8>, plain: bool, queues: Vec<String>) {
            let (subject, reply_to) = ("a.b".parse().unwrap(), Some("c".parse().unwrap()));
            let talk = Talk::Message { subject, reply_to, plain, queues, at: None };
            let frame = talk.frame(payload.clone().into()).unwrap();
            prop_assert_eq!(Talk::read(frame), Ok((talk, payload.into())));
        }
    }
}
