//! Who at which node gets what.

use quorate_membership::Incarnation;

use super::*;

fn router() -> Router {
    Router::new(Member::new(NodeId::new(1), Incarnation::new(1))).expect("a name")
}

fn want(pattern: &str, queue: Option<&str>) -> Want {
    Want { pattern: pattern.parse().expect("a pattern"), queue: queue.map(str::to_owned) }
}

fn peer(node: u64) -> NodeId {
    NodeId::new(node)
}

const fn link(number: u64) -> LinkId {
    LinkId::new(number)
}

#[test]
fn a_subscription_stands_when_all_linked_peers_have_heard_of_it_or_are_gone() {
    let (mut router, mut out) = (router(), Vec::new());
    router.on_link(peer(2), link(1), &mut out);
    router.on_link(peer(3), link(2), &mut out);
    let id = router.subscribe(want("a.>", None), true, &mut out).expect("room");
    out.clear();
    router.await_standing(id, &mut out);
    router.on_heard(peer(2), link(1), 1, &mut out);
    router.on_heard(peer(2), link(1), 2, &mut out);
    router.on_heard(peer(3), link(1), 2, &mut out);
    assert_eq!(out, [], "n3 has not heard on its link");
    router.on_unlink(peer(3), link(2), &mut out);
    assert_eq!(out, [RouterEffect::Stands(id)]);
}

#[test]
fn what_a_peer_wanted_goes_with_its_link_and_does_not_come_back_late() {
    let (mut router, mut out) = (router(), Vec::new());
    let subject: Subject = "a.b".parse().expect("a subject");
    router.on_link(peer(2), link(1), &mut out);
    let said = Announcement::Whole(vec![want("a.*", None)]);
    router.on_announcement(peer(2), link(1), 1, said.clone(), &mut out).expect("room");
    assert!(router.route(&subject).nodes.contains_key(&peer(2)));
    router.on_unlink(peer(2), link(1), &mut out);
    out.clear();
    router.on_announcement(peer(2), link(1), 1, said.clone(), &mut out).expect("room");
    assert!(!router.is_wanted(&subject));
    router.on_link(peer(2), link(2), &mut out);
    out.clear();
    router.on_announcement(peer(2), link(1), 1, said, &mut out).expect("room");
    assert!(!router.is_wanted(&subject), "it was said on another link");
    assert_eq!(out, [], "what does not count is not answered");
}

#[test]
fn the_end_of_an_earlier_link_says_nothing_about_the_present_one() {
    let (mut router, mut out) = (router(), Vec::new());
    let subject: Subject = "a.b".parse().expect("a subject");
    let said = Announcement::Whole(vec![want("a.*", None)]);
    router.on_link(peer(2), link(1), &mut out);
    router.on_announcement(peer(2), link(1), 1, said.clone(), &mut out).expect("room");
    router.on_link(peer(2), link(2), &mut out);
    assert!(!router.is_wanted(&subject), "it tells everything anew on the new link");
    router.on_announcement(peer(2), link(2), 1, said, &mut out).expect("room");
    router.on_unlink(peer(2), link(1), &mut out);
    assert!(router.is_wanted(&subject));
}

#[test]
fn requests_to_a_queue_group_take_turns_as_its_publications_do() {
    let (mut router, mut out) = (router(), Vec::new());
    let subject: Subject = "a.b".parse().expect("a subject");
    for node in 2..=3 {
        router.on_link(peer(node), link(node), &mut out);
        let said = Announcement::Whole(vec![want("a.*", Some("q"))]);
        router.on_announcement(peer(node), link(node), 1, said, &mut out).expect("room");
    }
    let served: BTreeSet<NodeId> = (0..2)
        .flat_map(|_| {
            router.request(&subject).expect("a name").expect("a responder");
            router.route(&subject).nodes.into_keys()
        })
        .collect();
    assert_eq!(served, BTreeSet::from([peer(2), peer(3)]));
}

#[test]
fn each_queue_group_takes_turns_and_plain_subscribers_all_get_it() {
    let (mut router, mut out) = (router(), Vec::new());
    let mut add = |queue| router.subscribe(want("a.*", queue), true, &mut out).expect("room");
    let (plain, one, two) = (add(None), add(Some("q")), add(Some("q")));
    let subject = "a.b".parse().expect("a subject");
    let queues = ["q".to_owned()];
    assert_eq!(router.select(&subject, true, &queues).subscriptions, [plain, one]);
    assert_eq!(router.select(&subject, false, &queues).subscriptions, [two]);
    assert_eq!(router.select(&subject, false, &["other".to_owned()]).lost, 1);
}

#[test]
fn a_request_takes_its_first_answer_and_none_without_a_responder() {
    let (mut router, mut out) = (router(), Vec::new());
    let subject = "a.b".parse().expect("a subject");
    assert_eq!(router.request(&subject), Ok(None));
    router.subscribe(want("a.*", None), true, &mut out).expect("room");
    let (number, reply_to) = router.request(&subject).expect("a name").expect("a responder");
    assert_eq!(router.on_answer(&subject), None);
    assert_eq!(router.on_answer(&reply_to), Some(Some(number)));
    assert_eq!(router.on_answer(&reply_to), Some(None), "a second answer is nobody's");
}

#[test]
fn who_is_not_told_of_gets_nothing_that_is_passed_on_and_peers_hear_nothing_of_it() {
    let (mut router, mut out) = (router(), Vec::new());
    router.on_link(peer(2), link(1), &mut out);
    out.clear();
    let id = router.subscribe(want("a.*", None), false, &mut out).expect("room");
    let subject = "a.b".parse().expect("a subject");
    assert!(!router.is_wanted(&subject));
    assert_eq!(router.select(&subject, true, &[]), Selection::default());
    router.unsubscribe(id, &mut out);
    assert_eq!(out, []);
}

#[test]
fn what_only_plain_subscribers_here_get_is_known_and_nobodys_turn_passes_by_asking() {
    let (mut router, mut out) = (router(), Vec::new());
    let subject: Subject = "a.b".parse().expect("a subject");
    assert_eq!(router.plain_here(&subject), Some(vec![]));
    let plain = router.subscribe(want("a.>", None), true, &mut out).expect("room");
    router.subscribe(want("a.*", None), false, &mut out).expect("room");
    assert_eq!(router.plain_here(&subject), Some(vec![plain]));
    assert_eq!(router.route(&subject).nodes, BTreeMap::from([(peer(1), (true, vec![]))]));
    let shared = router.subscribe(want("a.b", Some("q")), true, &mut out).expect("room");
    router.on_link(peer(2), link(1), &mut out);
    let said = Announcement::Whole(vec![want("a.b", Some("q"))]);
    router.on_announcement(peer(2), link(1), 1, said, &mut out).expect("room");
    let served = |router: &mut Router| {
        let nodes = router.route(&subject).nodes;
        nodes.into_iter().find(|(_, (_, queues))| !queues.is_empty()).map(|(node, _)| node)
    };
    let first = served(&mut router);
    assert_eq!(router.plain_here(&subject), None);
    assert_ne!(served(&mut router), first, "they take turns");
    router.unsubscribe(shared, &mut out);
    assert_eq!(router.plain_here(&subject), None, "n2 wants it");
    router.on_unlink(peer(2), link(1), &mut out);
    assert_eq!(router.plain_here(&subject), Some(vec![plain]));
    let (_, answers) = router.request(&subject).expect("a subject").expect("somebody answers");
    assert_eq!(router.plain_here(&answers), None, "an answer is for one who asked, not for a subscriber");
}
