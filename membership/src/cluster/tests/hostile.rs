//! Bad and lying datagrams: refused with a reason, and nothing is changed.

use std::num::NonZeroU16;

use foca::{Codec, Header, Member as Update, Message};
use proptest::prelude::*;

use super::{
    super::{codec::Datagram, roll::Roll},
    *,
};

fn datagram(header: &Header<ClusterIdentity>, updates: &[Update<ClusterIdentity>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    MessagePack.encode_header(header, &mut bytes).expect("encodes");
    if let Ok(count) = NonZeroU16::try_from(updates.len() as u16) {
        bytes.extend(count.get().to_be_bytes());
        for update in updates {
            MessagePack.encode_member(update, &mut bytes).expect("encodes");
        }
    }
    bytes
}

fn header(
    src: ClusterIdentity,
    dst: ClusterIdentity,
    message: Message<ClusterIdentity>,
) -> Header<ClusterIdentity> {
    Header { src, src_incarnation: 0, dst, message }
}

/// A node that is up with three others, and the time.
fn settled() -> (Cluster, Time) {
    let mut cluster = Cluster::new(id(1, 5, 1), Timing::DEFAULT, 7);
    let now = Time::ZERO + ms(10);
    for node in 2..=4 {
        let join = datagram(&header(id(node, 5, node), id(1, 5, 1), Message::Announce), &[]);
        cluster.on_datagram(now, member(node, 5), &join, &mut Vec::new()).expect("joins");
    }
    assert_eq!(cluster.members().count(), 3);
    (cluster, now)
}

/// Everything that a cluster does by itself in ten seconds.
fn future(mut cluster: Cluster, mut now: Time) -> Vec<ClusterEffect> {
    let mut all = Vec::new();
    cluster.contact(now, id(9, 1, 9), &mut all);
    for _ in 0..100 {
        now = now + ms(100);
        cluster.on_wake(now, &mut all);
    }
    all
}

fn refuse(from: Member, bytes: &[u8]) -> ClusterError {
    let (mut cluster, now) = settled();
    let mut out = Vec::new();
    let refusal = cluster.on_datagram(now, from, bytes, &mut out).expect_err("refused");
    assert_eq!(out, []);
    let (twin, _) = settled();
    assert_eq!(future(cluster, now), future(twin, now), "a refused datagram has changed something");
    refusal
}

#[test]
fn a_peer_that_takes_the_name_of_another_is_refused() {
    let bytes = datagram(&header(id(3, 5, 3), id(1, 5, 1), Message::Gossip), &[]);
    let expected = ClusterError::FalseSender { from: member(2, 5), claims: member(3, 5) };
    assert_eq!(refuse(member(2, 5), &bytes), expected);
    let former = ClusterError::FalseSender { from: member(3, 6), claims: member(3, 5) };
    assert_eq!(refuse(member(3, 6), &bytes), former);
}

#[test]
fn a_peer_with_the_name_of_this_node_is_refused() {
    let bytes = datagram(&header(id(1, 6, 9), id(1, 5, 1), Message::Announce), &[]);
    assert_eq!(refuse(member(1, 6), &bytes), ClusterError::FromOurselves { from: member(1, 6) });
}

#[test]
fn what_is_for_another_node_is_refused() {
    let bytes = datagram(&header(id(2, 5, 2), id(3, 5, 3), Message::Ping(1)), &[]);
    let expected = ClusterError::Misdirected { from: member(2, 5), to: member(3, 5) };
    assert_eq!(refuse(member(2, 5), &bytes), expected);
}

#[test]
fn a_request_to_probe_oneself_is_refused_even_under_the_name_that_it_makes_one_take() {
    let me = id(1, 5, 1);
    let renewed = foca::Identity::renew(&me).expect("a first renewal");
    let down = Update::new(me, 0, State::Down);
    for target in [me, renewed] {
        let message = Message::PingReq { target, probe_number: 1 };
        let bytes = datagram(&header(id(2, 5, 2), me, message), std::slice::from_ref(&down));
        let expected = ClusterError::IndirectToOurselves { from: member(2, 5) };
        assert_eq!(refuse(member(2, 5), &bytes), expected);
    }
}

#[test]
fn a_former_life_of_a_member_and_news_of_a_later_one_of_this_node_are_refused() {
    let me = id(1, 5, 1);
    let bytes = datagram(&header(id(2, 4, 2), me, Message::Ping(1)), &[]);
    let expected = ClusterError::Outlived { from: member(2, 4), by: member(2, 5) };
    assert_eq!(refuse(member(2, 4), &bytes), expected);
    let later = Update::alive(id(1, 6, 8));
    let bytes = datagram(&header(id(2, 5, 2), me, Message::Gossip), &[later]);
    assert_eq!(refuse(member(2, 5), &bytes), ClusterError::Superseded { by: member(1, 6) });
}

#[test]
fn oversized_and_truncated_datagrams_are_refused() {
    let limit = Cluster::DATAGRAM_BYTES_MAX;
    let expected = ClusterError::TooLarge { size: limit + 1, limit };
    assert_eq!(refuse(member(2, 5), &vec![0; limit + 1]), expected);
    let news = [Update::alive(id(6, 1, 6)), Update::alive(id(7, 1, 7))];
    let bytes = datagram(&header(id(2, 5, 2), id(1, 5, 1), Message::Gossip), &news);
    let bare = datagram(&header(id(2, 5, 2), id(1, 5, 1), Message::Gossip), &[]).len();
    for length in (0..bytes.len()).filter(|length| *length != bare) {
        let refusal = refuse(member(2, 5), &bytes[..length]);
        assert!(matches!(refusal, ClusterError::Malformed { .. }), "{length}: {refusal}");
    }
}

#[test]
fn more_nodes_than_the_limit_are_not_kept_in_mind() {
    let (mut cluster, now) = settled();
    let mut names = 10..;
    let refusal = loop {
        let news: Vec<_> = names.by_ref().take(30).map(|node| Update::alive(id(node, 1, 9))).collect();
        let bytes = datagram(&header(id(2, 5, 2), *cluster.identity(), Message::Gossip), &news);
        if let Err(refusal) = cluster.on_datagram(now, member(2, 5), &bytes, &mut Vec::new()) {
            break refusal;
        }
    };
    assert_eq!(refusal, ClusterError::Full { limit: Cluster::NODES_MAX });
    let known = cluster.swim.iter_membership_state().len();
    assert!((Cluster::NODES_MAX - 30..=Cluster::NODES_MAX).contains(&known));
    let old = [Update::new(id(10, 1, 9), 0, State::Down)];
    let bytes = datagram(&header(id(2, 5, 2), *cluster.identity(), Message::Gossip), &old);
    let mut out = Vec::new();
    cluster.on_datagram(now, member(2, 5), &bytes, &mut out).expect("names nobody new");
    assert!(out.contains(&ClusterEffect::Down(id(10, 1, 9))));
}

#[test]
fn being_declared_down_again_and_again_piles_nothing_up() {
    let (mut cluster, now) = settled();
    for _ in 0..1_000 {
        let me = *cluster.identity();
        for message in [Message::TurnUndead, Message::Ping(0)] {
            let bytes = datagram(&header(id(2, 5, 2), me, message), &[]);
            cluster.on_datagram(now, member(2, 5), &bytes, &mut Vec::new()).expect("plausible");
        }
    }
    assert_eq!(cluster.identity().renewal(), 1_000);
    assert!(cluster.alarms.len() < 20, "{} alarms", cluster.alarms.len());
    future(cluster, now);
}

#[test]
fn an_address_keeps_neither_scope_nor_flow_label() {
    let scoped: SocketAddr =
        std::net::SocketAddrV6::new("fe80::1".parse().expect("an address"), 9, 4, 7).into();
    let who = ClusterIdentity::new(member(2, 5), scoped);
    let bytes = datagram(&header(who, id(1, 5, 1), Message::Announce), &[]);
    assert_eq!(Datagram::decode(&bytes).expect("own bytes").header.src, who);
}

fn identities() -> impl Strategy<Value = ClusterIdentity> {
    let lives = prop_oneof![Just(5_u64), 0..8_u64, Just(u64::MAX)];
    let renewals = prop_oneof![4 => 0..3_u32, 1 => Just(u32::MAX)];
    (1..7_u64, lives, 1..7_u64, renewals).prop_map(|(node, life, host, renewal)| {
        let mut id = id(node, life, host);
        id.set_renewal(renewal);
        id
    })
}

fn messages() -> impl Strategy<Value = Message<ClusterIdentity>> {
    (0..10_u8, any::<u8>(), identities()).prop_map(|(kind, probe_number, other)| match kind {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq { target: other, probe_number },
        3 => Message::IndirectPing { origin: other, probe_number },
        4 => Message::IndirectAck { target: other, probe_number },
        5 => Message::ForwardedAck { origin: other, probe_number },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        _ => Message::TurnUndead,
    })
}

fn contents() -> impl Strategy<Value = Result<Message<ClusterIdentity>, Roll>> {
    let after = || prop::option::of((0..8_u64).prop_map(NodeId::new));
    prop_oneof![
        4 => messages().prop_map(Ok),
        1 => after().prop_map(|after| Err(Roll::Ask { after })),
        1 => (after(), any::<bool>()).prop_map(|(after, more)| Err(Roll::Page { after, more })),
        1 => Just(Err(Roll::Tell)),
    ]
}

fn updates() -> impl Strategy<Value = Vec<Update<ClusterIdentity>>> {
    let refutals = prop_oneof![0..3_u16, Just(u16::MAX)];
    let states = prop_oneof![Just(State::Alive), Just(State::Suspect), Just(State::Down)];
    let update =
        (identities(), refutals, states).prop_map(|(id, refutals, state)| Update::new(id, refutals, state));
    prop::collection::vec(update, 0..5)
}

/// Checks that reports alternate and never concern the node itself.
fn check_reports(up: &mut BTreeMap<NodeId, ClusterIdentity>, out: &[ClusterEffect]) {
    for effect in out {
        match effect {
            ClusterEffect::Up(id) => {
                assert_ne!(id.member.node, NodeId::new(1));
                assert_eq!(up.insert(id.member.node, *id), None, "up twice");
            }
            ClusterEffect::Down(id) => {
                let former = up.remove(&id.member.node).expect("was up");
                assert!(former.is_same_life(id));
            }
            ClusterEffect::Send { to, bytes } => {
                assert_ne!(to.member.node, NodeId::new(1));
                Datagram::decode(bytes).expect("what is sent can be read");
                assert!(bytes.len() <= Cluster::DATAGRAM_BYTES_MAX);
            }
            ClusterEffect::WakeAt(_) => {}
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_and_change_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        refuse(member(2, 5), &bytes);
    }

    #[test]
    fn a_damaged_datagram_is_taken_or_refused_as_a_whole(
        message in messages(), news in updates(), at in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        let mut bytes = datagram(&header(id(2, 5, 2), id(1, 5, 1), message), &news);
        let at = at.index(bytes.len());
        bytes[at] = value;
        let (mut cluster, now) = settled();
        let mut out = Vec::new();
        if cluster.on_datagram(now, member(2, 5), &bytes, &mut out).is_err() {
            prop_assert_eq!(&out, &[]);
            let (twin, _) = settled();
            prop_assert_eq!(future(cluster, now), future(twin, now));
        }
    }

    #[test]
    fn whatever_authenticated_peers_say_reports_stay_consistent_and_nothing_panics(
        steps in prop::collection::vec(
            (identities(), any::<bool>(), contents(), updates(), 0..700_u64, any::<bool>()),
            1..60,
        ),
    ) {
        let (mut cluster, mut now) = settled();
        let mut up: BTreeMap<_, _> = cluster.members().map(|id| (id.member.node, *id)).collect();
        for (src, as_known, content, news, pause, renew) in steps {
            let mut out = Vec::new();
            let (mut dst, mut src) = (*cluster.identity(), src);
            if renew {
                dst.set_renewal(0);
            }
            if as_known {
                src = up.get(&src.member.node).copied().unwrap_or(src);
            }
            let bytes = match content {
                Ok(message) => datagram(&header(src, dst, message), &news),
                Err(roll) => {
                    let header = header(src, dst, Message::Broadcast);
                    codec::roll_call(&header, &roll, news.iter()).expect("encodes").0.to_vec()
                }
            };
            let done = cluster.on_datagram(now, src.member, &bytes, &mut out);
            prop_assert!(done.is_ok() || out.is_empty());
            now = now + ms(pause);
            cluster.on_wake(now, &mut out);
            check_reports(&mut up, &out);
            let members: Vec<_> = cluster.members().map(|id| id.member).collect();
            prop_assert_eq!(members, up.values().map(|id| id.member).collect::<Vec<_>>());
        }
    }
}
