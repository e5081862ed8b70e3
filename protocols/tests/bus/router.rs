//! The routing of one node, beside a list of its links and subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use quorate_membership::{Incarnation, Member, NodeId};
use quorate_protocols::bus::{Announcement, LinkId, Router, RouterEffect, Subject, SubscriptionId, Want};

use crate::wants::{announcements, matches, peers, subjects, wants};

#[derive(Clone, Debug)]
enum Step {
    Link(NodeId),
    /// A link ends: that of the peer, or an earlier one.
    Unlink(NodeId, bool),
    /// A peer announces on its link or an earlier one.
    Announce(NodeId, bool, Announcement),
    /// A peer has heard so many of the announcements made, or claims more.
    Heard(NodeId, bool, u64),
    Subscribe(Want, bool),
    Unsubscribe(usize),
    Await(usize),
    Message(Subject, bool),
    Request(Subject),
    Answer(usize),
    GiveUp(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let present = || prop::bool::weighted(0.8);
    let step = prop_oneof![
        2 => peers().prop_map(Step::Link),
        1 => (peers(), present()).prop_map(|(peer, present)| Step::Unlink(peer, present)),
        4 => (peers(), present(), announcements())
            .prop_map(|(peer, at, said)| Step::Announce(peer, at, said)),
        4 => (peers(), present(), prop_oneof![0..12_u64, Just(u64::MAX)])
            .prop_map(|(peer, at, number)| Step::Heard(peer, at, number)),
        4 => (wants(), prop::bool::weighted(0.8)).prop_map(|(want, told)| Step::Subscribe(want, told)),
        2 => (0..8_usize).prop_map(Step::Unsubscribe),
        2 => (0..8_usize).prop_map(Step::Await),
        3 => (subjects(), any::<bool>()).prop_map(|(subject, plain)| Step::Message(subject, plain)),
        2 => subjects().prop_map(Step::Request),
        2 => (0..6_usize).prop_map(Step::Answer),
        1 => (0..6_usize).prop_map(Step::GiveUp),
    ];
    prop::collection::vec(step, 0..70)
}

/// What a peer has, as far as this node can know.
#[derive(Default)]
struct Link {
    number: u64,
    wants: BTreeSet<Want>,
    /// What it was told is wanted here, and the latest announcement made to it and heard by it.
    told: BTreeSet<Want>,
    announced: u64,
    heard: u64,
}

struct Naive {
    links: BTreeMap<NodeId, Link>,
    links_ever: u64,
    subscriptions: BTreeMap<SubscriptionId, (Want, bool)>,
    announced: u64,
    rising: BTreeMap<SubscriptionId, u64>,
    requests: Vec<(u64, Subject)>,
    open: BTreeSet<u64>,
}

impl Naive {
    fn own(&self, inbox: &Want) -> BTreeSet<Want> {
        let told = self.subscriptions.values().filter(|(_, told)| *told);
        told.map(|(want, _)| want.clone()).chain([inbox.clone()]).collect()
    }

    /// A link of a peer, the present one or one that it had before or never.
    fn link(&self, peer: NodeId, present: bool) -> (LinkId, bool) {
        let number = self.links.get(&peer).map(|link| link.number);
        let number = if present { number } else { None };
        (LinkId::new(number.unwrap_or(u64::MAX)), number.is_some())
    }

    fn chosen(&self, place: usize) -> Option<SubscriptionId> {
        let count = self.subscriptions.len();
        self.subscriptions.keys().nth(place.checked_rem(count)?).copied()
    }

    /// Carries announcements to the peers, and returns who stands.
    fn carry(&mut self, out: Vec<RouterEffect>) -> Vec<SubscriptionId> {
        let mut standing = Vec::new();
        for effect in out {
            match effect {
                RouterEffect::Announce { to, number, said } => {
                    let link = self.links.get_mut(&to).expect("only who is linked is told");
                    assert!(number > link.announced, "announcements are numbered upwards");
                    (link.announced, self.announced) = (number, self.announced.max(number));
                    match said {
                        Announcement::Whole(all) => link.told = all.into_iter().collect(),
                        Announcement::Add(want) => assert!(link.told.insert(want), "it was told before"),
                        Announcement::Remove(want) => assert!(link.told.remove(&want), "it was never told"),
                    }
                }
                RouterEffect::Heard { to, .. } => assert!(self.links.contains_key(&to)),
                RouterEffect::Stands(id) => standing.push(id),
            }
        }
        standing
    }

    /// Those who wait, and of whom every linked peer has heard.
    fn risen(&mut self) -> Vec<SubscriptionId> {
        let heard = self.links.values().map(|link| link.heard).min().unwrap_or(u64::MAX);
        self.rising.extract_if(.., |_, number| *number <= heard).map(|(id, _)| id).collect()
    }
}

fn inbox(me: Member) -> Want {
    let pattern = format!("_inbox.{}.{}.>", me.node, me.incarnation).parse().expect("a pattern");
    Want { pattern, queue: None }
}

/// A subscriber gets it exactly if it is told of, matches, and it or its queue group is meant.
fn check_selection(router: &mut Router, naive: &Naive, subject: &Subject, plain: bool) {
    let queues = ["q".to_owned(), "nobody".to_owned()];
    let selection = router.select(subject, plain, &queues);
    let fits = |(want, told): &&(Want, bool)| *told && matches(&want.pattern, subject);
    let of = |id: &SubscriptionId| naive.subscriptions[id].0.queue.as_deref();
    let (in_queues, plainly): (Vec<_>, Vec<_>) =
        selection.subscriptions.iter().partition(|id| of(id).is_some());
    let all: Vec<_> = naive.subscriptions.iter().filter(|(_, it)| fits(it)).map(|(id, _)| id).collect();
    let expected: Vec<_> = all.iter().copied().filter(|id| plain && of(id).is_none()).collect();
    assert_eq!(plainly, expected);
    let serves = all.iter().any(|id| of(id) == Some("q"));
    assert_eq!((in_queues.len(), selection.lost), if serves { (1, 1) } else { (0, 2) });
    assert!(in_queues.iter().all(|id| all.contains(id) && of(id) == Some("q")));
}

proptest! {
    #[test]
    fn routing_is_what_links_and_subscriptions_say_and_peers_know_what_is_wanted(steps in steps()) {
        let me = Member::new(NodeId::new(1), Incarnation::new(1));
        let (mut router, inbox) = (Router::new(me).expect("a name"), inbox(me));
        let mut naive = Naive {
            links: BTreeMap::new(), links_ever: 0, subscriptions: BTreeMap::new(), announced: 1,
            rising: BTreeMap::new(), requests: Vec::new(), open: BTreeSet::new(),
        };
        for step in steps {
            let mut out = Vec::new();
            match step {
                Step::Link(peer) => {
                    naive.links_ever += 1;
                    naive.links.insert(peer, Link { number: naive.links_ever, ..Link::default() });
                    router.on_link(peer, LinkId::new(naive.links_ever), &mut out);
                }
                Step::Unlink(peer, present) => {
                    let (link, linked) = naive.link(peer, present);
                    prop_assert_eq!(router.is_linked(peer, link), linked);
                    router.on_unlink(peer, link, &mut out);
                    naive.links.retain(|node, _| !linked || *node != peer);
                }
                Step::Announce(peer, present, said) => {
                    let (link, linked) = naive.link(peer, present);
                    router.on_announcement(peer, link, 7, said.clone(), &mut out).expect("room");
                    let answered = out.contains(&RouterEffect::Heard { to: peer, number: 7 });
                    prop_assert_eq!(answered, linked);
                    if let Some(link) = naive.links.get_mut(&peer).filter(|_| linked) {
                        match said {
                            Announcement::Whole(all) => link.wants = all.into_iter().collect(),
                            Announcement::Add(want) => drop(link.wants.insert(want)),
                            Announcement::Remove(want) => drop(link.wants.remove(&want)),
                        }
                    }
                }
                Step::Heard(peer, present, number) => {
                    let (link, linked) = naive.link(peer, present);
                    let number = number.min(naive.announced);
                    router.on_heard(peer, link, number, &mut out);
                    if let Some(link) = naive.links.get_mut(&peer).filter(|_| linked) {
                        link.heard = link.heard.max(number);
                    }
                }
                Step::Subscribe(want, told) => {
                    let id = router.subscribe(want.clone(), told, &mut out).expect("room");
                    prop_assert!(naive.subscriptions.insert(id, (want, told)).is_none(), "a new name");
                }
                Step::Unsubscribe(place) => if let Some(id) = naive.chosen(place) {
                    router.unsubscribe(id, &mut out);
                    naive.subscriptions.remove(&id);
                    naive.rising.remove(&id);
                },
                Step::Await(place) => if let Some(id) = naive.chosen(place) {
                    naive.rising.insert(id, naive.announced);
                    router.await_standing(id, &mut out);
                },
                Step::Message(subject, plain) => {
                    check_selection(&mut router, &naive, &subject, plain);
                    let served = |want: &Want| want.queue.is_some() && matches(&want.pattern, &subject);
                    let own = naive.own(&inbox);
                    let queues: BTreeSet<_> = naive.links.values().flat_map(|link| &link.wants).chain(&own)
                        .filter(|want| served(want)).map(|want| want.queue.clone()).collect();
                    let route = router.route_queues(&subject);
                    prop_assert!(route.nodes.values().all(|(plain, _)| !plain));
                    let served: usize = route.nodes.values().map(|(_, of)| of.len()).sum();
                    prop_assert_eq!(served, queues.len());
                }
                Step::Request(subject) => {
                    let own = naive.own(&inbox);
                    let mut all = naive.links.values().flat_map(|link| &link.wants).chain(&own);
                    let wanted = all.any(|want| matches(&want.pattern, &subject));
                    let request = router.request(&subject).expect("a name");
                    prop_assert_eq!(request.is_some(), wanted);
                    prop_assert_eq!(router.is_wanted(&subject), wanted);
                    prop_assert_eq!(router.on_answer(&subject), None, "it is no answer");
                    if let Some((number, reply_to)) = request {
                        prop_assert!(naive.open.insert(number), "a new number");
                        naive.requests.push((number, reply_to));
                    }
                }
                Step::Answer(place) => if let Some((number, reply_to)) = naive.requests.get(place) {
                    let first = naive.open.remove(number);
                    prop_assert_eq!(router.on_answer(reply_to), Some(first.then_some(*number)));
                },
                Step::GiveUp(place) => if let Some((number, _)) = naive.requests.get(place) {
                    router.give_up(*number);
                    naive.open.remove(number);
                },
            }
            let standing = naive.carry(out);
            prop_assert_eq!(standing, naive.risen());
            let mut wants: BTreeMap<_, _> =
                naive.links.iter().map(|(node, link)| (*node, link.wants.clone())).collect();
            let own = naive.own(&inbox);
            prop_assert!(naive.links.values().all(|link| link.told == own), "a peer knows what is wanted");
            wants.insert(me.node, own);
            let mut known = router.wants();
            known.retain(|node, of| *node == me.node || !of.is_empty() || naive.links.contains_key(node));
            wants.retain(|node, of| !of.is_empty() || known.contains_key(node));
            prop_assert_eq!(known, wants, "I1: of linked peers only");
            prop_assert_eq!(router.requests().collect::<BTreeSet<_>>(), naive.open.clone());
        }
    }
}
