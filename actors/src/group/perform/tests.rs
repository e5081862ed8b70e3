//! What the readers of a newcomer's events are shown.

use bytes::Bytes;
use futures_util::FutureExt;
use quorate_membership::{Change, Incarnation, Member, Seq, View, ViewId};
use quorate_protocols::{
    Body,
    bus::{Marks, PublisherId, Stamp},
};

use super::{
    super::{
        EventOptions, GroupEvents, Marked,
        alone::{Kept, start},
        events::reader,
        replication::{Read, Received},
    },
    *,
};
use crate::{
    bus::{Envelope, head},
    config::{GroupSettings, GroupSpec},
    wire::{Malformed, Said},
};

impl Kept {
    /// Who was asked for the marks of which view.
    fn asked(&self) -> Option<(Member, ViewId)> {
        self.0.borrow().iter().find_map(|outgoing| match wire::understand(outgoing.frame.clone()) {
            Ok(Said::MarksWanted(_, view)) => Some((member(outgoing.to[0].get()), view)),
            _ => None,
        })
    }
}

/// The core wants this done.
#[derive(Debug, actix::Message)]
#[rtype(result = "()")]
struct Decided(Event);

impl Handler<Decided> for Replication {
    type Result = ();
    fn handle(&mut self, Decided(event): Decided, ctx: &mut Self::Context) {
        self.perform(&mut vec![Effect::Deliver(event)], ctx);
    }
}

const fn member(node: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(1))
}

const fn id(epoch: u64) -> ViewId {
    ViewId { lineage: 7, epoch }
}

fn view(epoch: u64, changes: Vec<(Member, Change)>) -> Event {
    let members = [2, 3, 1].map(member).to_vec();
    let (witnesses, learners, sides) = (Vec::new(), Vec::new(), Vec::new());
    Event::View(Arc::new(View { id: id(epoch), members, witnesses, learners, changes, sides }))
}

fn stamp(number: u64, previous: u64) -> Stamp {
    Stamp { publisher: PublisherId { member: member(2), session: 0 }, number, previous, settled: 0 }
}

/// A message in a view: a publication with this number, or one to the group itself.
fn message(epoch: u64, published: Option<u64>, text: &'static str) -> Event {
    let head = published.map_or_else(Bytes::new, |number| {
        let subject = "log.a".parse().unwrap();
        head(&Envelope { stamp: stamp(number, number - 1), subject, reply_to: None }).unwrap()
    });
    let (view, sender, seq, payload) = (id(epoch), member(2), Seq::new(1), Bytes::from(text));
    Event::Message { view, sender, seq, index: 0, uniform: true, head, payload }
}

/// Views as their epochs and messages as their texts, as many as wait.
fn shown(events: &mut GroupEvents) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        all.push(match event {
            GroupEvent::Event(Event::View(view)) => view.id.epoch.to_string(),
            GroupEvent::Event(Event::Message { payload, .. }) => String::from_utf8(payload.to_vec()).unwrap(),
            GroupEvent::Event(Event::LineageLost) => "lost".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    all
}

/// A member that has just joined two others, and what a reader of its events gets.
async fn newcomer() -> (Addr<Replication>, Kept, GroupEvents) {
    let spec = Arc::new(GroupSpec::try_from(GroupSettings::new("log", [2, 3]).bind("log.>")).unwrap());
    let (group, outlet) = start(spec, PublisherId { member: member(1), session: 0 });
    let (feed, events) = reader(EventOptions::default());
    group.send(Read(feed)).await.unwrap();
    group.send(Decided(view(2, vec![(member(1), Change::Joined)]))).await.unwrap();
    for event in [message(2, None, "raw"), message(2, Some(5), "five"), message(2, Some(6), "six")] {
        group.send(Decided(event)).await.unwrap();
    }
    for event in [message(2, None, "more"), view(3, Vec::new()), message(3, Some(6), "again")] {
        group.send(Decided(event)).await.unwrap();
    }
    (group, outlet, events)
}

#[actix::test]
async fn they_are_shown_what_the_other_members_show_once_it_is_known_what_that_is() {
    let (group, outlet, mut events) = newcomer().await;
    assert_eq!(shown(&mut events), ["2", "raw"]);
    let (asked, of) = outlet.asked().expect("it asks for the marks");
    let mut marks = Marks::default();
    marks.admit(&stamp(5, 0));
    group.send(Marked(asked, of, marks)).await.unwrap();
    assert_eq!(shown(&mut events), ["six", "more", "3"], "one came before it joined, one came twice since");
    group.send(Decided(message(3, Some(7), "seven"))).await.unwrap();
    assert_eq!(shown(&mut events), ["seven"]);
}

#[actix::test]
async fn they_are_shown_nothing_that_was_in_doubt_if_it_is_outside_before_that_is_known() {
    let (group, _, mut events) = newcomer().await;
    group.send(Decided(Event::LineageLost)).await.unwrap();
    assert_eq!(shown(&mut events), ["2", "raw", "lost"]);
}

#[actix::test]
async fn who_says_what_no_correct_member_says_is_reported_and_who_is_merely_late_is_not() {
    let (group, _, _) = newcomer().await;
    let says = |body| Received(member(2), vec![Message { view: id(2), body }]);
    let late = Body::Opinion { lost: Vec::new(), sealed: false };
    let more_than_there_are = (0..100_000).map(NodeId::new).collect();
    assert_eq!(group.send(says(late)).await.unwrap(), Ok(()));
    let lie = Body::Join { hears: more_than_there_are };
    assert_eq!(group.send(says(lie)).await.unwrap(), Err(Malformed("group")));
}
