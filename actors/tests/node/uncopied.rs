//! Payloads are the same memory from the application to the link: compared by address.

use std::{collections::BTreeMap, time::Duration};

use crate::common::{
    addr, in_view, soon,
    spy::{Handed, Spying},
};
use bytes::Bytes;
use quorate::{
    Client, ClientSettings, Group, GroupEvent, GroupEvents, GroupSettings, Node, NodeSettings, StateOptions,
    SubscribeOptions,
    membership::NodeId,
    protocols::Event,
    transport::{MemoryConfig, MemoryNetwork, MemoryTransport, Role},
};

/// Nodes whose links remember what they were given.
#[derive(Default)]
struct Cluster {
    network: MemoryNetwork,
    handed: Handed,
    nodes: BTreeMap<u64, Node>,
}

impl Cluster {
    async fn start(nodes: u64, groups: &[GroupSettings]) -> Self {
        let mut cluster = Self::default();
        for node in 1..=nodes {
            let mut settings = NodeSettings::new(node, "test", addr(node));
            settings.seeds = (1..=nodes).filter(|seed| *seed != node).map(addr).collect();
            settings.groups = groups.iter().filter(|it| it.founders.contains(&node)).cloned().collect();
            let (network, id, handed) = (cluster.network.clone(), NodeId::new(node), cluster.handed.clone());
            let spying = |hello| {
                let memory = MemoryTransport::new(&network, id, Role::Node, hello, MemoryConfig::default())?;
                Ok::<_, std::io::Error>(Spying(memory, handed))
            };
            cluster.nodes.insert(node, Node::open(settings, spying).await.unwrap());
        }
        cluster
    }

    async fn client(&self) -> Client {
        let (network, id, handed) = (self.network.clone(), NodeId::new(101), self.handed.clone());
        let spying = |hello| {
            let memory = MemoryTransport::new(&network, id, Role::Client, hello, MemoryConfig::default())?;
            Ok::<_, std::io::Error>(Spying(memory, handed))
        };
        Client::open(ClientSettings::new(101, "test", vec![addr(1)]), spying).await.unwrap()
    }

    async fn group(&self, node: u64, name: &str, members: &[u64]) -> Group {
        let group = self.nodes[&node].group(name).await.expect("the group runs here");
        in_view(&group, members).await;
        group
    }

    async fn stop(self) {
        for node in self.nodes.into_values() {
            node.stop().await;
        }
    }
}

fn log() -> Vec<GroupSettings> {
    vec![GroupSettings::new("log", [1, 2]).bind("log.>")]
}

fn payload(bytes: usize) -> Bytes {
    vec![7; bytes].into()
}

#[actix::test]
async fn what_is_published_to_a_group_is_never_copied_into_its_envelope() {
    let cluster = Cluster::start(3, &log()).await;
    cluster.group(1, "log", &[1, 2]).await;
    let (inside, outside) = (cluster.nodes[&1].bus(), cluster.nodes[&3].bus());
    let client = cluster.client().await;
    let mut reader = cluster.nodes[&2].bus().subscribe("log.>", SubscribeOptions::default()).await.unwrap();
    for bytes in [5, 10_000, 3 << 20] {
        for bus in [&inside, &outside, &client.bus()] {
            let published = payload(bytes);
            soon(async {
                // A node that does not carry the group may not have heard of it yet.
                while bus.publish("log.app", published.clone()).await.is_err() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            assert!(cluster.handed.has(&published), "{bytes} bytes were copied");
            assert_eq!(soon(reader.next()).await.unwrap().payload, published);
        }
    }
    client.close().await;
    cluster.stop().await;
}

#[actix::test]
async fn what_is_sent_to_a_group_or_to_one_member_or_passed_on_by_the_bus_is_never_copied() {
    let cluster = Cluster::start(2, &log()).await;
    let group = cluster.group(1, "log", &[1, 2]).await;
    let answering = cluster.group(2, "log", &[1, 2]).await;
    let mut events = answering.events(quorate::EventOptions::default()).await.unwrap();
    let other = group.view().await.unwrap().unwrap().members.iter().copied().find(|m| m.node.get() == 2);
    let (multicast, letter, request, answer) =
        (payload(9_000), payload(9_001), payload(9_002), payload(9_003));
    let answers = answer.clone();
    actix::spawn(async move {
        while let Some(event) = events.next().await {
            if let GroupEvent::Event(Event::Request { request, .. }) = event {
                answering.answer(request, answers.clone()).await.unwrap();
            }
        }
    });
    group.multicast(multicast.clone()).await.unwrap();
    group.send_to(other.unwrap(), letter.clone()).await.unwrap().everywhere().await.unwrap();
    let asked = group.request_to(other.unwrap(), request.clone(), Duration::from_secs(20)).await.unwrap();
    assert_eq!(asked.0, Some(answer.clone()));

    let news = payload(9_004);
    let mut reader = cluster.nodes[&2].bus().subscribe("news", SubscribeOptions::default()).await.unwrap();
    cluster.nodes[&1].bus().publish("news", news.clone()).await.unwrap();
    assert_eq!(soon(reader.next()).await.unwrap().payload, news);
    for (what, payload) in [
        ("multicast", multicast),
        ("letter", letter),
        ("request", request),
        ("answer", answer),
        ("news", news),
    ] {
        assert!(cluster.handed.has(&payload), "the {what} was copied");
    }
    cluster.stop().await;
}

#[actix::test]
async fn the_state_of_an_application_is_never_copied_on_its_way_to_a_newcomer() {
    let settings = GroupSettings::new("g", [1, 2]).with_state();
    let cluster = Cluster::start(3, &[]).await;
    let state = payload(3 << 20);
    for node in 1..=2 {
        let (_, events) =
            cluster.nodes[&node].join_with_state(settings.clone(), StateOptions::default()).await.unwrap();
        actix::spawn(give(events, state.clone()));
    }
    cluster.group(1, "g", &[1, 2]).await;
    let joining = cluster.nodes[&3].join_with_state(settings, StateOptions::default());
    let (_newcomer, mut events) = joining.await.unwrap();
    let came = soon(async {
        while let Some(event) = events.next().await {
            if let GroupEvent::Restore(whole) = event {
                return whole.into_bytes();
            }
        }
        panic!("the group ended");
    });
    assert_eq!(came.await, state);
    assert!(cluster.handed.has(&state));
    cluster.stop().await;
}

async fn give(mut events: GroupEvents, state: Bytes) {
    while let Some(event) = events.next().await {
        if let GroupEvent::Snapshot(request) = event {
            request.give(state.clone()).await.expect("it is wanted");
        }
    }
}
