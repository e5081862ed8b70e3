//! Who gets a link, and who does not.

use std::sync::Arc;

use quorate_membership::{Incarnation, Member, NodeId};

use super::{Factory, Profile, frame, link, receive, send};
use crate::{CloseReason, ConnectError, Endpoint, Lane, LinkError, Role, Transport};

fn to(transport: &Arc<dyn Transport>, node: Option<u64>) -> Endpoint {
    Endpoint { node: node.map(NodeId::new), addr: transport.local_addr() }
}

fn member(node: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(10 + node))
}

pub(super) async fn both_ends_know_each_other(factory: &dyn Factory) {
    let mut newer = Profile::node(1);
    (newer.hello.versions, newer.hello.features) = ((4, 9), 0b1100);
    let dialer = factory.transport(newer).await;
    let listener = factory.transport(Profile::node(2)).await;
    let (ours, theirs) = link(&dialer, &listener, 2).await;
    let (there, here) = (ours.peer(), theirs.peer());
    assert_eq!((there.member, there.role, there.dialed_us), (member(2), Role::Node, false));
    assert_eq!((here.member, here.role, here.dialed_us), (member(1), Role::Node, true));
    assert_eq!((there.version, there.features), (5, 0b0100));
    assert_eq!((here.version, here.features), (5, 0b0100));
    assert_eq!((there.addr, there.listens), (listener.local_addr(), Some(listener.local_addr())));
    assert_eq!(here.listens, Some(dialer.local_addr()));
}

pub(super) async fn a_client_is_told_from_a_node(factory: &dyn Factory) {
    let client = factory.transport(Profile::client(9)).await;
    let node = factory.transport(Profile::node(2)).await;
    let (_ours, theirs) = link(&client, &node, 2).await;
    assert_eq!((theirs.peer().role, theirs.peer().listens), (Role::Client, None));
    assert_eq!(theirs.peer().member, member(9));
}

pub(super) async fn any_node_is_taken_if_none_is_named(factory: &dyn Factory) {
    let dialer = factory.transport(Profile::node(1)).await;
    let listener = factory.transport(Profile::node(2)).await;
    let anyone = to(&listener, None);
    let (ours, theirs) = tokio::join!(dialer.connect(&anyone), listener.accept());
    assert_eq!(ours.expect("it listens").peer().member, member(2));
    assert_eq!(theirs.expect("it is not closed").peer().member, member(1));
}

/// Expects that a refused dialer was never seen: the next link that the listener accepts is one
/// that was opened afterwards.
async fn never_seen(factory: &dyn Factory, listener: &Arc<dyn Transport>) {
    let witness = factory.transport(Profile::node(3)).await;
    let (_ours, theirs) = link(&witness, listener, 2).await;
    assert_eq!(theirs.peer().member, member(3), "a refused peer was let in");
}

pub(super) async fn another_node_is_not_taken(factory: &dyn Factory) {
    let dialer = factory.transport(Profile::node(1)).await;
    let listener = factory.transport(Profile::node(2)).await;
    let wanted = to(&listener, Some(7));
    // The listener may let the dialer in before the dialer finds out and goes away.
    let refused = dialer.connect(&wanted).await;
    let Err(ConnectError::WrongNode { addr, wanted, found }) = refused else { panic!("{refused:?}") };
    assert_eq!((addr, wanted, found), (listener.local_addr(), NodeId::new(7), NodeId::new(2)));
    let right = to(&listener, Some(2));
    let ours = dialer.connect(&right).await.expect("this is the right one");
    ours.open(Lane::Control).await.expect("the link stands");
}

pub(super) async fn versions_that_do_not_meet_are_refused(factory: &dyn Factory) {
    let listener = factory.transport(Profile::node(2)).await;
    for versions in [(1, 2), (6, 8)] {
        let mut profile = Profile::node(1);
        profile.hello.versions = versions;
        let dialer = factory.transport(profile).await;
        let refused = dialer.connect(&to(&listener, Some(2))).await;
        let Err(ConnectError::Version { addr, theirs, ours }) = refused else { panic!("{refused:?}") };
        assert_eq!((addr, theirs, ours), (listener.local_addr(), (3, 5), versions));
    }
    never_seen(factory, &listener).await;
}

pub(super) async fn another_cluster_is_refused(factory: &dyn Factory) {
    let listener = factory.transport(Profile::node(2)).await;
    let mut stranger = Profile::node(1);
    stranger.hello.cluster = String::from("another");
    let dialer = factory.transport(stranger).await;
    let refused = dialer.connect(&to(&listener, Some(2))).await;
    assert!(matches!(refused, Err(ConnectError::Handshake { .. })), "{refused:?}");
    never_seen(factory, &listener).await;
}

pub(super) async fn nobody_is_there(factory: &dyn Factory) {
    let dialer = factory.transport(Profile::node(1)).await;
    let gone = factory.transport(Profile::node(2)).await;
    let there = to(&gone, Some(2));
    gone.close(CloseReason::Stopping).await;
    drop(gone);
    let refused = dialer.connect(&there).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable(addr)) if addr == there.addr), "{refused:?}");
}

pub(super) async fn two_links_of_a_pair_are_two(factory: &dyn Factory) {
    let dialer = factory.transport(Profile::node(1)).await;
    let listener = factory.transport(Profile::node(2)).await;
    let (first, first_there) = link(&dialer, &listener, 2).await;
    let (second, second_there) = link(&dialer, &listener, 2).await;
    let mut sender = second.open(Lane::Data(1)).await.expect("the link stands");
    first.close(CloseReason::Duplicate);
    assert_eq!(first_there.closed().await, LinkError::ClosedByPeer(CloseReason::Duplicate));
    send(&mut *sender, [frame("here")]).await;
    let (_, mut receiver) = second_there.accept().await.expect("the link stands");
    assert_eq!(receive(&mut *receiver, 1).await, [frame("here")]);
}
