//! What the bus of a node makes of peers whose links are gone, and of carriers of groups in the hands of a test.

mod attaching;
mod carriers;
mod linked;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::NodeId;
use quorate_protocols::bus::{Announcement, Carried, LinkId, Want};
use quorate_transport::{MemoryConfig, MemoryNetwork, MemoryTransport, Mesh, MeshConfig, Role};
use tokio::{sync::mpsc, time::timeout};

use super::{Bus, BusActor, PeerDown, PeerFrames, PeerUp, RequestError, talk::Talk};
use crate::{
    config::{NodeConfig, NodeSettings},
    node::Canary,
};

const PEER: NodeId = NodeId::new(2);
const LINK: LinkId = LinkId::new(7);
const PATIENCE: Duration = Duration::from_secs(5);

/// The bus of a node that is linked to nobody.
fn alone() -> Addr<BusActor> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = NodeConfig::try_from(NodeSettings::new(1, "demo", nowhere)).unwrap();
    let life = config.begin_life().unwrap();
    let (network, hello) = (MemoryNetwork::default(), config.hello(&life));
    let transport =
        MemoryTransport::new(&network, config.node(), Role::Node, hello, MemoryConfig::default()).unwrap();
    let (mesh, _) = Mesh::start(Arc::new(transport), life.member(), MeshConfig::default());
    let canary = Canary::new("bus", mpsc::unbounded_channel().0);
    BusActor::new(life.member(), mesh, config.timing(), config.payload_bytes_max(), canary).unwrap().start()
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
