//! What the buses of two nodes say to each other.

use bytes::Bytes;
use quorate_membership::GroupId;
use quorate_protocols::bus::{Announcement, Carried, Position, Subject, Want};
use quorate_transport::{Body, Frame};
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
    /// Messages for all plain subscribers at the receiver: a [`Bundle`](quorate_transport::Bundle).
    Letters { subject: Subject },
    /// Somebody at the sender has no room for what this selects: publishers are to wait.
    Hold(Want),
    /// All who want it there have room again, or are gone.
    Go(Want),
}

/// The group and the place of a message in its order, if it has one.
pub(crate) type At = Option<(GroupId, Position)>;

impl Talk {
    pub(crate) fn frame(&self, payload: impl Into<Body>) -> Result<Frame, rmp_serde::encode::Error> {
        let said: Bytes = rmp_serde::to_vec(self)?.into();
        Ok(match self {
            Self::Message { .. } | Self::Letters { .. } => Frame { header: said, body: payload.into() },
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
    use quorate_membership::ViewId;
    use quorate_protocols::bus::Interest;
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

    fn words() -> impl Strategy<Value = String> {
        "[a-z]{1,9}(\\.[a-z]{1,9}){0,3}"
    }

    fn wants() -> impl Strategy<Value = Want> {
        let pattern = (words(), any::<bool>()).prop_map(|(text, rest)| if rest { text + ".>" } else { text });
        (pattern, prop::option::of("[a-z]{0,64}"))
            .prop_map(|(pattern, queue)| Want { pattern: pattern.parse().expect("a pattern"), queue })
    }

    fn places() -> impl Strategy<Value = At> {
        prop::option::of(any::<[u64; 4]>()).prop_map(|numbers| {
            numbers.map(|[group, lineage, epoch, index]| {
                (GroupId::new(group), Position { view: ViewId { lineage, epoch }, index })
            })
        })
    }

    fn talks() -> impl Strategy<Value = Talk> {
        let said = prop_oneof![
            prop::collection::vec(wants(), 0..5).prop_map(Announcement::Whole),
            wants().prop_map(Announcement::Add),
            wants().prop_map(Announcement::Remove),
        ];
        let patterns = prop::collection::vec(wants().prop_map(|want| want.pattern), 0..4);
        let carried = ("[a-z]{0,9}", patterns).prop_map(|(name, patterns)| Carried { name, patterns });
        let subject = || words().prop_map(|text| text.parse().expect("a subject"));
        let queues = prop::collection::vec(any::<String>(), 0..4);
        prop_oneof![
            (any::<u64>(), said).prop_map(|(number, said)| Talk::Announce { number, said }),
            any::<u64>().prop_map(Talk::Heard),
            prop::collection::vec(carried, 0..4).prop_map(Talk::Carries),
            wants().prop_map(Talk::Hold),
            wants().prop_map(Talk::Go),
            subject().prop_map(|subject| Talk::Letters { subject }),
            (subject(), prop::option::of(subject()), any::<bool>(), queues, places()).prop_map(
                |(subject, reply_to, plain, queues, at)| {
                    Talk::Message { subject, reply_to, plain, queues, at }
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_or_are_what_could_have_been_written(header: Vec<u8>, body: Vec<u8>) {
            for header in [header, Vec::new()] {
                let frame = Frame { header: header.into(), body: vec![body.clone().into()].into() };
                if let Ok((talk, payload)) = Talk::read(frame) {
                    let again = Talk::read(talk.frame(payload).unwrap()).map(|(again, _)| again);
                    prop_assert_eq!(again, Ok(talk));
                }
            }
        }

        #[test]
        fn what_is_written_is_understood_and_a_damaged_byte_is_no_harm(
            payload: Vec<u8>, talk in talks(), at in any::<prop::sample::Index>(), byte: u8,
        ) {
            let carries = matches!(talk, Talk::Message { .. } | Talk::Letters { .. });
            let payload = if carries { Bytes::from(payload) } else { Bytes::new() };
            let frame = talk.frame(payload.clone()).unwrap();
            prop_assert_eq!(Talk::read(frame.clone()), Ok((talk, payload)));
            let mut said = if frame.header.is_empty() { frame.body.concat() } else { frame.header.to_vec() };
            let place = at.index(said.len());
            said[place] = byte;
            let damaged = Frame { header: said.into(), body: frame.body };
            if let Ok((talk, payload)) = Talk::read(damaged) {
                prop_assert_eq!(Talk::read(talk.frame(payload).unwrap()).map(|(read, _)| read), Ok(talk));
            }
        }
    }
}
