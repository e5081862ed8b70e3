//! The bus of a node, and carriers of a group that do nothing but what a test has them do.

use std::{cell::Cell, collections::BTreeMap, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use quorate_membership::{GroupId, NodeId, Timing, ViewId};
use quorate_protocols::bus::{Carried, LinkId, Position, group_id};
use quorate_transport::{
    Endpoint, LaneReceiver, MemoryConfig, MemoryNetwork, MemoryTransport, Mesh, MeshConfig, MeshEvent, Peer,
    Role,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    bus::{BusActor, PeerDown, PeerFrames, PeerUp, SubscribeError, UplinkOf, talk::Talk},
    client::{AnswersFrom, Ask, Tell, read_use, use_frame},
    config::{NodeConfig, NodeSettings},
    node::Canary,
    sessions::Sessions,
    wire::{BUS_LANE, UseLanes},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// The node whose bus it is: no other one in a test has this name.
pub(super) const ME: u64 = 4;
/// The group that all carriers carry; `local.>` is bound to it.
pub(super) const GROUP: &str = "local";

pub(super) fn group() -> GroupId {
    group_id(GROUP)
}

pub(super) fn carried(name: &str, patterns: &[&str]) -> Carried {
    let patterns = patterns.iter().map(|text| text.parse().unwrap()).collect();
    Carried { name: name.to_owned(), patterns }
}

pub(super) const fn at(index: u64) -> Position {
    Position { view: ViewId { lineage: 7, epoch: 1 }, index }
}

pub(super) async fn soon<T>(it: impl Future<Output = T>) -> T {
    timeout(PATIENCE, it).await.expect("it happens in time")
}

fn addr(node: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9000 + node as u16))
}

fn mesh(
    network: &MemoryNetwork,
    node: u64,
) -> (NodeConfig, crate::config::Life, Mesh, mpsc::Receiver<MeshEvent>) {
    let config = NodeConfig::try_from(NodeSettings::new(node, "demo", addr(node))).unwrap();
    let life = config.begin_life().unwrap();
    let hello = config.hello(&life);
    let transport =
        MemoryTransport::new(network, config.node(), Role::Node, hello, MemoryConfig::default()).unwrap();
    let (mesh, events) = Mesh::start(Arc::new(transport), life.member(), MeshConfig::default());
    (config, life, mesh, events)
}

/// The bus of a node on a network.
pub(super) fn bus(network: &MemoryNetwork) -> Addr<BusActor> {
    let (config, life, mesh, events) = mesh(network, ME);
    let timing = Timing::detect_within(Timing::DETECT_MIN).unwrap();
    let canary = Canary::new("bus", mpsc::unbounded_channel().0);
    let bus = BusActor::new(Sessions::new(life.member()), mesh, timing, config.payload_bytes_max(), canary)
        .unwrap()
        .start();
    actix::spawn(serve(events, bus.clone()));
    bus
}

/// Hands on what comes over the links, as a node does.
async fn serve(mut events: mpsc::Receiver<MeshEvent>, bus: Addr<BusActor>) {
    let mut links = BTreeMap::new();
    for number in 0.. {
        match events.recv().await {
            None => return,
            Some(MeshEvent::Up(peer)) => {
                let (node, link) = (peer.info().member.node, LinkId::new(number));
                links.insert(node, link);
                bus.do_send(PeerUp(node, link));
            }
            Some(MeshEvent::Down { peer, .. }) => {
                let node = peer.info().member.node;
                bus.do_send(PeerDown(node, links.remove(&node).expect("it was up")));
            }
            Some(MeshEvent::Lane { peer, lane: BUS_LANE, mut receiver }) => {
                let (node, bus) = (peer.info().member.node, bus.clone());
                let link = links[&node];
                actix::spawn(async move {
                    let mut frames = Vec::new();
                    while let Ok(true) = receiver.recv(&mut frames).await {
                        let read = bus.send(PeerFrames(node, link, std::mem::take(&mut frames))).await;
                        read.unwrap().unwrap();
                    }
                });
            }
            Some(MeshEvent::Lane { peer, lane, receiver }) => {
                let uplink = bus.send(UplinkOf(lane)).await.unwrap().expect("it is used");
                actix::spawn(AnswersFrom(peer.info().member.node, receiver).read(uplink));
            }
            Some(_) => {}
        }
    }
}

/// A node that says it carries the group, and otherwise says what the test has it say.
pub(super) struct Carrier {
    peer: Rc<Peer>,
    /// Whether it confirms what the bus announces.
    hears: Rc<Cell<bool>>,
    asks: mpsc::UnboundedReceiver<Ask>,
    _mesh: Mesh,
}

impl Carrier {
    /// Links it to the bus. What it carries is known there once a subscription stands.
    pub(super) async fn link(network: &MemoryNetwork, node: u64) -> Self {
        let (_, _, mesh, mut events) = mesh(network, node);
        mesh.watch(Endpoint { node: Some(NodeId::new(ME)), addr: addr(ME) });
        let up = async {
            loop {
                if let Some(MeshEvent::Up(peer)) = events.recv().await {
                    return peer;
                }
            }
        };
        let peer = soon(up).await;
        say(&peer, &Talk::Carries(vec![carried(GROUP, &["local.>"])]));
        let hears = Rc::new(Cell::new(true));
        let confirms = Rc::clone(&hears);
        let (sender, asks) = mpsc::unbounded_channel();
        let (announced, heard) = oneshot::channel();
        let mut announced = Some(announced);
        actix::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    MeshEvent::Lane { peer, lane: BUS_LANE, receiver } => {
                        announced.take().map(|it| it.send(()));
                        actix::spawn(hear(peer, receiver, Rc::clone(&confirms)));
                    }
                    MeshEvent::Lane { receiver, .. } => {
                        actix::spawn(take_down(receiver, sender.clone()));
                    }
                    _ => {}
                }
            }
        });
        soon(heard).await.expect("the bus announces what it wants");
        Self { peer, hears, asks, _mesh: mesh }
    }

    /// From now on it confirms nothing.
    pub(super) fn turns_deaf(&self) {
        self.hears.set(false);
    }

    /// Says that it carries other groups than before.
    pub(super) fn says(&self, carried: Vec<Carried>) {
        say(&self.peer, &Talk::Carries(carried));
    }

    /// What it is asked next of this kind.
    pub(super) async fn is_asked_next(&mut self, kind: impl Fn(&Ask) -> bool) -> Ask {
        loop {
            let ask = self.asked().await;
            if kind(&ask) {
                return ask;
            }
        }
    }

    /// What it is asked next, apart from room.
    pub(super) async fn asked(&mut self) -> Ask {
        soon(async {
            loop {
                match self.asks.recv().await.expect("it is linked") {
                    Ask::Credit { .. } => {}
                    ask => return ask,
                }
            }
        })
        .await
    }

    /// Waits until it is asked to let a reader read; returns the reader's number and where it goes on.
    pub(super) async fn is_asked_to_serve(&mut self) -> (u64, Vec<Position>) {
        loop {
            if let Ask::Subscribe { id, after, .. } = self.asked().await {
                return (id, after.into_iter().map(|(_, position)| position).collect());
            }
        }
    }

    pub(super) fn tell(&self, tell: &Tell, payload: &'static str) {
        let frame = use_frame(tell, Bytes::from(payload)).unwrap();
        self.peer.send(UseLanes::group(group()).tell, frame).unwrap();
    }

    pub(super) fn welcomes(&self) {
        self.tell(&Tell::Welcome { member: self.peer.info().member }, "");
    }

    /// A reader stands, and begins behind a position.
    pub(super) fn serves(&self, id: u64, from: Position) {
        self.tell(&Tell::Subscribed { id, result: Ok(vec![(group(), from)]) }, "");
    }

    pub(super) fn refuses(&self, id: u64) {
        self.tell(&Tell::Subscribed { id, result: Err(SubscribeError::TooMany) }, "");
    }

    pub(super) fn delivers(&self, id: u64, index: u64, payload: &'static str) {
        let (subject, at) = ("local.app".parse().unwrap(), Some((group(), at(index))));
        self.tell(&Tell::Delivery { id, subject, reply_to: None, at, missed: 0 }, payload);
    }
}

fn say(peer: &Peer, talk: &Talk) {
    peer.send(BUS_LANE, talk.frame(Bytes::new()).unwrap()).unwrap();
}

/// Confirms whatever the bus announces, as long as it hears.
async fn hear(peer: Rc<Peer>, mut receiver: Box<dyn LaneReceiver>, hears: Rc<Cell<bool>>) {
    let mut frames = Vec::new();
    while let Ok(true) = receiver.recv(&mut frames).await {
        for frame in frames.drain(..) {
            if let (Talk::Announce { number, .. }, _) = Talk::read(frame).unwrap()
                && hears.get()
            {
                say(&peer, &Talk::Heard(number));
            }
        }
    }
}

async fn take_down(mut receiver: Box<dyn LaneReceiver>, asks: mpsc::UnboundedSender<Ask>) {
    let mut frames = Vec::new();
    while let Ok(true) = receiver.recv(&mut frames).await {
        for frame in frames.drain(..) {
            let _ = asks.send(read_use(frame).unwrap().0);
        }
    }
}
