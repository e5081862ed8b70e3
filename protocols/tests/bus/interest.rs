//! Who wants what, beside a list of who said what.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use quorate_membership::NodeId;
use quorate_protocols::bus::{Announcement, Interest, Subject, TooManyWants, Want};

use crate::wants::{announcements, matches, peers, subjects, wants};

const ME: NodeId = NodeId::new(1);

#[derive(Clone, Debug)]
enum Step {
    Subscribe(Want),
    Unsubscribe(Want),
    Hear(NodeId, Announcement),
    Forget(NodeId),
    Route(Subject),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => wants().prop_map(Step::Subscribe),
        3 => wants().prop_map(Step::Unsubscribe),
        4 => (peers(), announcements()).prop_map(|(peer, said)| Step::Hear(peer, said)),
        1 => peers().prop_map(Step::Forget),
        4 => subjects().prop_map(Step::Route),
    ];
    prop::collection::vec(step, 0..60)
}

/// Every subscription here, and what each peer has said.
#[derive(Default)]
struct Naive {
    own: Vec<Want>,
    peers: BTreeMap<NodeId, BTreeSet<Want>>,
}

impl Naive {
    fn all(&self) -> impl Iterator<Item = (NodeId, &Want)> {
        let peers = self.peers.iter().flat_map(|(node, wants)| wants.iter().map(|want| (*node, want)));
        self.own.iter().map(|want| (ME, want)).chain(peers)
    }

    /// The nodes with plain subscribers, and for each queue group the nodes that could serve it.
    fn served(&self, subject: &Subject) -> (BTreeSet<NodeId>, BTreeMap<String, BTreeSet<NodeId>>) {
        let (mut plain, mut queues) = (BTreeSet::new(), BTreeMap::<_, BTreeSet<_>>::new());
        for (node, want) in self.all().filter(|(_, want)| matches(&want.pattern, subject)) {
            match &want.queue {
                None => drop(plain.insert(node)),
                Some(queue) => drop(queues.entry(queue.clone()).or_default().insert(node)),
            }
        }
        (plain, queues)
    }
}

proptest! {
    #[test]
    fn interest_is_what_was_said_and_every_queue_group_is_served_once(steps in steps()) {
        let (mut interest, mut naive) = (Interest::new(ME), Naive::default());
        for step in steps {
            match step {
                Step::Subscribe(want) => {
                    let first = !naive.own.contains(&want);
                    let news = interest.subscribe(&want).expect("room");
                    prop_assert_eq!(news, first.then(|| Announcement::Add(want.clone())));
                    naive.own.push(want);
                }
                Step::Unsubscribe(want) => {
                    let place = naive.own.iter().position(|own| *own == want);
                    place.map(|place| naive.own.remove(place));
                    let last = place.is_some() && !naive.own.contains(&want);
                    prop_assert_eq!(interest.unsubscribe(&want), last.then_some(Announcement::Remove(want)));
                }
                Step::Hear(peer, said) => {
                    interest.on_announcement(peer, said.clone()).expect("room");
                    let known = naive.peers.entry(peer).or_default();
                    match said {
                        Announcement::Whole(all) => *known = all.into_iter().collect(),
                        Announcement::Add(want) => drop(known.insert(want)),
                        Announcement::Remove(want) => drop(known.remove(&want)),
                    }
                }
                Step::Forget(peer) => {
                    interest.forget(peer);
                    naive.peers.remove(&peer);
                }
                Step::Route(subject) => {
                    let (plain, queues) = naive.served(&subject);
                    let wanted = !plain.is_empty() || !queues.is_empty();
                    prop_assert_eq!(interest.is_wanted(&subject), wanted);
                    let route = interest.route(&subject);
                    prop_assert_eq!(route.is_empty(), !wanted);
                    let to_all = route.nodes.iter().filter(|(_, to)| to.0).map(|(node, _)| *node);
                    prop_assert_eq!(to_all.collect::<BTreeSet<_>>(), plain);
                    let of = |(node, to): (&NodeId, &(bool, Vec<String>))| {
                        to.1.iter().map(|queue| (queue.clone(), *node)).collect::<Vec<_>>()
                    };
                    let served: Vec<_> = route.nodes.iter().flat_map(of).collect();
                    prop_assert_eq!(served.len(), queues.len(), "one node for each: {:?}", served);
                    prop_assert!(served.iter().all(|(queue, node)| queues[queue].contains(node)));
                }
            }
            let own: BTreeSet<_> = naive.own.iter().cloned().collect();
            let Announcement::Whole(whole) = interest.whole() else { panic!("all is said at once") };
            prop_assert_eq!(whole, own.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_nodes_of_a_queue_group_take_turns(
        said in prop::collection::vec((peers(), announcements()), 0..12), subject in subjects(),
    ) {
        let (mut interest, mut naive) = (Interest::new(ME), Naive::default());
        for (peer, said) in said {
            if let Announcement::Add(want) = said {
                interest.on_announcement(peer, Announcement::Add(want.clone())).expect("room");
                naive.peers.entry(peer).or_default().insert(want);
            }
        }
        let (_, queues) = naive.served(&subject);
        let turns: usize = 12; // of one, two or three nodes: each has as many as the others
        let mut served = BTreeMap::<(String, NodeId), usize>::new();
        for _ in 0..turns {
            for (node, (_, of)) in interest.route(&subject).nodes {
                for queue in of {
                    *served.entry((queue, node)).or_default() += 1;
                }
            }
        }
        for (queue, nodes) in queues {
            for node in &nodes {
                prop_assert_eq!(served.get(&(queue.clone(), *node)), Some(&(turns / nodes.len())));
            }
        }
    }
}

#[test]
fn no_peer_is_kept_with_more_than_the_bound() {
    let most = Interest::WANTS_MAX;
    let all: Vec<_> = (0..=most).map(|number| format!("w{number}").parse().expect("a word")).collect();
    let wants = all.into_iter().map(|pattern| Want { pattern, queue: None });
    let (mut interest, peer) = (Interest::new(ME), NodeId::new(2));
    let said = interest.on_announcement(peer, Announcement::Whole(wants.clone().collect()));
    assert_eq!(said, Err(TooManyWants));
    assert!(!interest.is_wanted(&"w1".parse().expect("a word")), "what was refused is not kept");
    interest.on_announcement(peer, Announcement::Whole(wants.clone().take(most).collect())).expect("room");
    let further = wants.clone().last().map(Announcement::Add).expect("a want");
    assert_eq!(interest.on_announcement(peer, further.clone()), Err(TooManyWants));
    let first = wants.clone().next().map(Announcement::Remove).expect("a want");
    interest.on_announcement(peer, first).expect("room");
    assert_eq!(interest.on_announcement(peer, further), Ok(()), "there is room again");
}
