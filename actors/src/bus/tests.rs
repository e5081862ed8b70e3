//! What the bus of a node makes of peers whose links are gone, of changes on their way to it, and of carriers of
//! groups in the hands of a test.

mod attaching;
mod carriers;
mod crossing;
mod linked;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use futures_util::FutureExt;
use quorate_membership::NodeId;
use quorate_protocols::bus::{Announcement, Carried, LinkId, Want};
use quorate_transport::{MemoryConfig, MemoryNetwork, MemoryTransport, Mesh, MeshConfig, Role};
use tokio::{sync::mpsc, time::timeout};

use super::{Bus, BusActor, PeerDown, PeerFrames, PeerUp, RequestError, Routes, talk::Talk};
use crate::{
    config::{GroupSettings, GroupSpec, NodeConfig, NodeSettings},
    node::Canary,
    sessions::Sessions,
};

const PEER: NodeId = NodeId::new(2);
const LINK: LinkId = LinkId::new(7);
const PATIENCE: Duration = Duration::from_secs(5);

/// The bus of a node that is linked to nobody.
fn alone() -> Addr<BusActor> {
    alone_with_routes().0
}

fn alone_with_routes() -> (Addr<BusActor>, Arc<Routes>) {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = NodeConfig::try_from(NodeSettings::new(1, "demo", nowhere)).unwrap();
    let life = config.begin_life().unwrap();
    let (network, hello) = (MemoryNetwork::default(), config.hello(&life));
    let transport =
        MemoryTransport::new(&network, config.node(), Role::Node, hello, MemoryConfig::default()).unwrap();
    let (mesh, _) = Mesh::start(Arc::new(transport), life.member(), MeshConfig::default());
    let canary = Canary::new("bus", mpsc::unbounded_channel().0);
    let sessions = Sessions::new(life.member());
    let actor = BusActor::new(sessions, mesh, config.timing(), config.payload_bytes_max(), canary).unwrap();
    let routes = actor.routes();
    (actor.start(), routes)
}

/// Tells the bus what its peer had said before the link went, once that it is gone is known.
async fn say_late(bus: &Addr<BusActor>, talk: Talk) {
    bus.send(PeerUp(PEER, LINK)).await.unwrap();
    bus.send(PeerDown(PEER, LINK)).await.unwrap();
    let frame = talk.frame(Bytes::new()).unwrap();
    bus.send(PeerFrames(PEER, LINK, vec![frame])).await.unwrap().unwrap();
}

#[actix::test]
async fn what_a_peer_wants_is_not_kept_if_it_is_read_after_its_link_is_gone() {
    let actor = alone();
    let want = Want { pattern: "jobs.>".parse().unwrap(), queue: None };
    say_late(&actor, Talk::Announce { number: 1, said: Announcement::Whole(vec![want]) }).await;
    let answer = Bus::over(&actor).request("jobs.one", "", PATIENCE).await;
    assert!(matches!(answer, Err(RequestError::NoResponders(_))), "{answer:?}");
}

#[actix::test]
async fn what_a_peer_carries_is_not_kept_if_it_is_read_after_its_link_is_gone() {
    let actor = alone();
    let carried = Carried { name: "log".to_owned(), patterns: vec!["log.>".parse().unwrap()] };
    say_late(&actor, Talk::Carries(vec![carried])).await;
    // Otherwise it would wait for a node that carries the group.
    let published = timeout(PATIENCE, Bus::over(&actor).publish("log.app", "")).await;
    assert_eq!(published, Ok(Ok(())));
}

#[actix::test]
async fn whoever_learns_that_subjects_are_bound_before_the_bus_does_publishes_to_the_group() {
    let (actor, routes) = alone_with_routes();
    let bus = Bus::within(&actor, Arc::clone(&routes));
    bus.publish("log.app", "").await.unwrap();
    assert_eq!(bus.publish("log.app", "").now_or_never(), Some(Ok(())), "it needs no actor");
    let spec = GroupSpec::try_from(GroupSettings::new("log", [2]).bind("log.>")).unwrap();
    // As when a group is joined: the news is on its way.
    routes.host(&actor, Arc::new(spec), None);
    let mut published = Box::pin(bus.publish("log.app", ""));
    assert_eq!((&mut published).now_or_never(), None);
    // It waits for a node that carries the group, as what comes later does, when the news has arrived.
    let answered = bus.request("nobody", "", PATIENCE).await;
    assert!(matches!(answered, Err(RequestError::NoResponders(_))), "{answered:?}");
    assert_eq!((&mut published).now_or_never(), None);
    assert_eq!(bus.publish("log.app", "").now_or_never(), None);
}
