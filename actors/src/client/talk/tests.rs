//! What is written is understood, and nothing else does harm.

use std::fmt::Debug;

use proptest::prelude::*;
use quorate_membership::{Incarnation, NodeId, View, ViewId};

use super::*;
use crate::{Overflow, Status, ViewRecord};

fn subjects() -> impl Strategy<Value = Subject> {
    "[a-z]{1,9}(\\.[a-z]{1,9}){0,3}".prop_map(|text| text.parse().expect("a subject"))
}

fn members() -> impl Strategy<Value = Member> {
    any::<[u64; 2]>().prop_map(|[node, life]| Member::new(NodeId::new(node), Incarnation::new(life)))
}

fn publishers() -> impl Strategy<Value = PublisherId> {
    (members(), any::<u64>()).prop_map(|(member, session)| PublisherId { member, session })
}

fn places() -> impl Strategy<Value = (GroupId, Position)> {
    any::<[u64; 4]>().prop_map(|[group, lineage, epoch, index]| {
        (GroupId::new(group), Position { view: ViewId { lineage, epoch }, index })
    })
}

fn options() -> impl Strategy<Value = SubscribeOptions> {
    let overflow = prop_oneof![Just(Overflow::Skip), Just(Overflow::Buffer), Just(Overflow::Backpressure)];
    (prop::option::of(any::<String>()), any::<usize>(), overflow)
        .prop_map(|(queue, capacity, overflow)| SubscribeOptions { queue, capacity, overflow })
}

fn asks() -> impl Strategy<Value = Ask> {
    let reply_to = || prop::option::of(subjects());
    let publish = (any::<[u64; 2]>(), any::<[bool; 2]>(), subjects(), reply_to());
    let forward = (publishers(), any::<[u64; 4]>(), subjects(), reply_to());
    let after = prop::collection::vec(places(), 0..4);
    let subscribe = (any::<u64>(), subjects(), options(), any::<bool>(), after);
    let named = || (any::<u64>(), any::<String>());
    prop_oneof![
        publishers().prop_map(|publisher| Ask::Begin { publisher }),
        publish.prop_map(|([number, settled], [again, must_reach], subject, reply_to)| {
            Ask::Publish { number, settled, again, must_reach, subject, reply_to }
        }),
        forward.prop_map(|(publisher, [number, stamped, previous, settled], subject, reply_to)| {
            let stamp = Stamp { publisher, number: stamped, previous, settled };
            Ask::Forward { number, stamp, subject, reply_to }
        }),
        subscribe.prop_map(|(id, subject, options, again, after)| {
            Ask::Subscribe { id, pattern: Pattern::from(&subject), options, again, after }
        }),
        any::<[u64; 2]>().prop_map(|[id, more]| Ask::Credit { id, more }),
        any::<u64>().prop_map(|id| Ask::Unsubscribe { id }),
        any::<u64>().prop_map(|number| Ask::Status { number }),
        named().prop_map(|(number, group)| Ask::Views { number, group }),
        named().prop_map(|(number, group)| Ask::Send { number, group }),
    ]
}

fn outcomes() -> impl Strategy<Value = Result<(), PublishError>> {
    prop_oneof![
        Just(Ok(())),
        any::<String>().prop_map(|why| Err(PublishError::Refused(why))),
        any::<[usize; 2]>().prop_map(|[bytes, limit]| Err(PublishError::TooLarge { bytes, limit })),
        subjects().prop_map(|subject| Err(PublishError::NoResponders(subject))),
        Just(Err(PublishError::MayHaveHappened)),
    ]
}

fn tells() -> impl Strategy<Value = Tell> {
    let stands = prop_oneof![
        prop::collection::vec(places(), 0..4).prop_map(Ok),
        any::<String>().prop_map(|name| Err(SubscribeError::Queue(name))),
        Just(Err(SubscribeError::TooMany)),
    ];
    let delivery = (any::<[u64; 2]>(), subjects(), prop::option::of(subjects()), prop::option::of(places()));
    prop_oneof![
        members().prop_map(|member| Tell::Welcome { member }),
        prop::collection::vec((any::<u64>(), outcomes()), 0..4).prop_map(Tell::Outcomes),
        (any::<u64>(), stands).prop_map(|(id, result)| Tell::Subscribed { id, result }),
        delivery.prop_map(|([id, missed], subject, reply_to, at)| {
            Tell::Delivery { id, subject, reply_to, at, missed }
        }),
        (any::<u64>(), any::<bool>()).prop_map(|(number, known)| Tell::Answer { number, known }),
    ]
}

/// Whatever is read can be written, and is then read as the same.
fn check_read<T: Serialize + DeserializeOwned + Debug + PartialEq>(header: Vec<u8>, payload: &Bytes) {
    let read_frame = Frame { header: header.into(), body: payload.clone().into() };
    if let Ok((said, found)) = read::<T>(read_frame) {
        assert_eq!(&found, payload);
        let written = frame(&said, found).expect("it is written again");
        assert_eq!(read::<T>(written), Ok((said, payload.clone())));
    }
}

fn check_written<T: Serialize + DeserializeOwned + Debug + PartialEq>(
    said: T,
    payload: &Bytes,
    (at, byte): (prop::sample::Index, u8),
) {
    let written = frame(&said, payload.clone()).expect("it is written");
    let mut damaged = written.header.to_vec();
    assert_eq!(read::<T>(written), Ok((said, payload.clone())));
    let place = at.index(damaged.len());
    damaged[place] = byte;
    check_read::<T>(damaged, payload);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_or_are_what_could_have_been_written(header: Vec<u8>, payload: Vec<u8>) {
        let payload = payload.into();
        check_read::<Ask>(header.clone(), &payload);
        check_read::<Tell>(header.clone(), &payload);
        // What is inside of answers.
        check_read::<Status>(header.clone(), &payload);
        check_read::<Vec<ViewRecord>>(header, &payload);
    }

    #[test]
    fn what_is_written_is_understood_and_a_damaged_byte_is_no_harm(
        ask in asks(), tell in tells(), payload: Vec<u8>, damage in any::<(prop::sample::Index, u8)>(),
    ) {
        let payload = payload.into();
        check_written(ask, &payload, damage);
        check_written(tell, &payload, damage);
    }

    #[test]
    fn records_of_views_come_back_as_they_were(
        members in prop::collection::vec(members(), 0..4), at: u64,
        damage in any::<(prop::sample::Index, u8)>(),
    ) {
        let id = ViewId { lineage: at, epoch: 3 };
        let (witnesses, learners, changes, sides) = (members.clone(), vec![], vec![], vec![]);
        let view = View { id, members, witnesses, learners, changes, sides };
        check_written(vec![ViewRecord { view, installed_unix_ms: at }], &Bytes::new(), damage);
    }
}
