//! What becomes of a node when one of its actors fails.

use actix::prelude::*;

use super::{Node, StopReason, actor::NodeActor, membership::Membership};
use crate::{EventOptions, PublishError, bus::BusActor, group::Replication};

/// Fails within the actor that gets it.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Fail;

/// A part of a node.
#[derive(Clone, Copy, Debug, actix::Message)]
#[rtype(result = "()")]
enum Part {
    Node,
    Bus,
    Membership,
    Group,
}

impl Handler<Part> for NodeActor {
    type Result = ();
    fn handle(&mut self, part: Part, _: &mut Self::Context) {
        match part {
            Part::Node => panic!("on purpose"),
            Part::Bus => self.bus.do_send(Fail),
            Part::Membership => self.membership.do_send(Fail),
            Part::Group => self.groups.all().iter().for_each(|entry| entry.addr.do_send(Fail)),
        }
    }
}

impl Handler<Fail> for BusActor {
    type Result = ();
    fn handle(&mut self, _: Fail, _: &mut Self::Context) {
        panic!("on purpose");
    }
}

impl Handler<Fail> for Membership {
    type Result = ();
    fn handle(&mut self, _: Fail, _: &mut Self::Context) {
        panic!("on purpose");
    }
}

impl Handler<Fail> for Replication {
    type Result = ();
    fn handle(&mut self, _: Fail, _: &mut Self::Context) {
        panic!("on purpose");
    }
}

#[actix::test]
async fn a_node_one_of_whose_actors_fails_says_which_and_ends_as_a_whole() {
    for (part, name) in [
        (Part::Node, "node"),
        (Part::Bus, "bus"),
        (Part::Membership, "membership"),
        (Part::Group, "group local"),
    ] {
        let node = Node::alone("demo").await.unwrap();
        let group = node.group("local").await.unwrap();
        let mut events = group.events(EventOptions::default()).await.unwrap();
        let bus = node.bus();
        node.addr.do_send(part);
        assert_eq!(node.stopped().await, StopReason::ActorFailed(name.to_owned()));
        while events.next().await.is_some() {}
        assert!(group.status().await.is_err(), "{part:?}: the group ended with it");
        let published = bus.publish("a", "b").await;
        assert!(matches!(published, Err(PublishError::Stopped)), "{part:?}: {published:?}");
        assert!(node.status().await.is_err(), "{part:?}");
    }
}
