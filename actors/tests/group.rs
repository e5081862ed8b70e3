//! Three members in one process, joined by the codec alone.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use actix::prelude::*;
use bytes::Bytes;
use quorate::{
    Clock, GroupHandle, Outgoing, decode,
    membership::{GroupId, Incarnation, Member, NodeId},
    protocols::{Event, GroupConfig},
};
use tokio::sync::mpsc;

type Peers = Rc<RefCell<BTreeMap<NodeId, GroupHandle>>>;

struct Wire(Member, Peers);

impl Actor for Wire {
    type Context = Context<Self>;
}

impl Handler<Outgoing> for Wire {
    type Result = ();
    fn handle(&mut self, out: Outgoing, _: &mut Self::Context) {
        let peers = self.1.borrow();
        for peer in out.to.iter().filter_map(|to| peers.get(to)) {
            let message = decode(&out.packet.header, out.packet.body.concat().into()).unwrap();
            let _ = peer.received(self.0, message);
        }
    }
}

fn member(number: u64) -> Member {
    Member::new(NodeId::new(number), Incarnation::new(1))
}

async fn next_message(events: &mut mpsc::Receiver<Event>) -> Bytes {
    loop {
        if let Event::Message { payload, .. } = events.recv().await.expect("events go on") {
            return payload;
        }
    }
}

#[actix::test]
async fn three_members_deliver_one_sequence_and_survivors_go_on() {
    let peers = Peers::default();
    let founders: Vec<_> = (0..3).map(NodeId::new).collect();
    let clock = Clock::new();
    let mut readers = Vec::new();
    for i in 0..3 {
        let wire = Wire(member(i), peers.clone()).start();
        let config = GroupConfig::new(GroupId::new(7), founders.clone());
        let group = GroupHandle::start(config, member(i), clock, wire.recipient());
        readers.push(group.events(4096).await.unwrap());
        peers.borrow_mut().insert(NodeId::new(i), group);
    }
    let groups: Vec<_> = peers.borrow().values().cloned().collect();
    for (i, group) in groups.iter().enumerate() {
        for j in (0..3).filter(|j| *j != i as u64) {
            group.reachable(member(j)).await.unwrap();
        }
    }
    let mut sends = Vec::new();
    for (i, group) in groups.iter().cloned().enumerate() {
        for k in 0..200 {
            let group = group.clone();
            sends.push(actix::spawn(async move { group.multicast(format!("{i}:{k}").into()).await }));
        }
    }
    for send in sends {
        send.await.unwrap().unwrap();
    }
    let mut sequences = Vec::new();
    for reader in &mut readers {
        let mut sequence = Vec::new();
        for _ in 0..600 {
            sequence.push(next_message(reader).await);
        }
        sequences.push(sequence);
    }
    assert!(sequences.iter().all(|sequence| *sequence == sequences[0]));

    peers.borrow_mut().remove(&NodeId::new(2));
    groups[2].stop().await;
    groups[0].unreachable(NodeId::new(2)).await.unwrap();
    groups[1].unreachable(NodeId::new(2)).await.unwrap();
    loop {
        if let Event::View(view) = readers[0].recv().await.unwrap() {
            assert_eq!(view.members, [member(0), member(1)]);
            break;
        }
    }
    groups[0].multicast("after".into()).await.unwrap();
    assert_eq!(next_message(&mut readers[1]).await, "after");
}
