//! Who binds what, whatever peers say.

use proptest::prelude::*;

use super::*;

const fn node(number: u64) -> NodeId {
    NodeId::new(number)
}

fn carried(name: &str, patterns: &[&str]) -> Carried {
    let patterns = patterns.iter().map(|text| text.parse().unwrap()).collect();
    Carried { name: name.to_owned(), patterns }
}

/// A node with links of the same number to these peers.
fn linked(peers: &[u64]) -> Bindings {
    let mut bindings = Bindings::default();
    for peer in peers {
        bindings.on_link(node(*peer), LinkId::new(*peer), &mut Vec::new());
    }
    bindings
}

fn says(bindings: &mut Bindings, peer: u64, all: &[Carried]) -> Vec<BindingEffect> {
    let mut out = Vec::new();
    bindings.on_carries(node(peer), LinkId::new(peer), all.to_vec(), &mut out).unwrap();
    out
}

fn bound_to(bindings: &Bindings, subject: &str) -> Option<GroupId> {
    bindings.group_of(&subject.parse().unwrap())
}

#[test]
fn a_binding_lasts_as_long_as_it_is_configured_here_or_a_linked_peer_carries_it() {
    let mut bindings = linked(&[2, 3]);
    let (log, id) = (carried("log", &["log.>"]), group_id("log"));
    assert_eq!(
        says(&mut bindings, 2, std::slice::from_ref(&log)),
        [BindingEffect::Carriers(id), BindingEffect::Changed(id)]
    );
    assert_eq!(says(&mut bindings, 3, std::slice::from_ref(&log)), [BindingEffect::Carriers(id)]);
    assert_eq!(says(&mut bindings, 3, std::slice::from_ref(&log)), [], "nothing new");
    let mut out = Vec::new();
    bindings.on_unlink(node(2), LinkId::new(2), &mut out);
    assert_eq!(out, [BindingEffect::Carriers(id)]);
    assert_eq!(bound_to(&bindings, "log.app"), Some(id));
    let bound = log.patterns.iter().cloned().collect();
    assert_eq!(says(&mut bindings, 3, &[]), [BindingEffect::Forgotten(id, bound)]);
    assert_eq!(bound_to(&bindings, "log.app"), None);

    says(&mut bindings, 3, std::slice::from_ref(&log));
    bindings.configure(log, false, &mut Vec::new()).unwrap();
    assert_eq!(says(&mut bindings, 3, &[]), [BindingEffect::Carriers(id)]);
    assert_eq!(bound_to(&bindings, "log.app"), Some(id), "it is configured here");
}

#[test]
fn the_end_of_an_earlier_link_takes_nothing_along_and_what_comes_late_does_not_count() {
    let mut bindings = linked(&[2]);
    let log = carried("log", &["log.>"]);
    says(&mut bindings, 2, std::slice::from_ref(&log));
    let mut out = Vec::new();
    bindings.on_link(node(2), LinkId::new(7), &mut out);
    assert_eq!(bound_to(&bindings, "log.app"), None, "it goes with its link");
    bindings.on_carries(node(2), LinkId::new(2), vec![log.clone()], &mut out).unwrap();
    assert_eq!(bound_to(&bindings, "log.app"), None, "the former link has no say");
    bindings.on_carries(node(2), LinkId::new(7), vec![log], &mut out).unwrap();
    bindings.on_unlink(node(2), LinkId::new(2), &mut out);
    assert_eq!(bound_to(&bindings, "log.app"), Some(group_id("log")));
}

#[test]
fn of_two_groups_with_common_subjects_the_same_one_keeps_them_at_all_nodes() {
    let (audit, log) = (carried("audit", &["log.*.audit", "audit"]), carried("log", &["log.>"]));
    for order in [[(2, &audit), (3, &log)], [(3, &log), (2, &audit)]] {
        let mut bindings = linked(&[2, 3]);
        let mut out = Vec::new();
        for (peer, group) in order {
            out = says(&mut bindings, peer, std::slice::from_ref(group));
        }
        let told = BindingEffect::Conflict { kept: "audit".to_owned(), set_aside: "log".to_owned() };
        assert_eq!(out.iter().filter(|effect| **effect == told).count(), 1);
        assert_eq!(bound_to(&bindings, "log.app.audit"), Some(group_id("audit")));
        assert_eq!(bound_to(&bindings, "log.app"), None, "one half of a group would be worse");
        assert!(bindings.knows(group_id("log")), "it can be followed");
        let out = says(&mut bindings, 2, &[carried("audit", &["audit"])]);
        assert!(out.contains(&BindingEffect::Changed(group_id("log"))), "{out:?}");
        assert_eq!(bound_to(&bindings, "log.app"), Some(group_id("log")));
    }
}

#[test]
fn what_somebody_carries_goes_before_what_is_only_configured_here() {
    let mut bindings = linked(&[2]);
    bindings.configure(carried("audit", &["log.>"]), false, &mut Vec::new()).unwrap();
    assert_eq!(bound_to(&bindings, "log.app"), Some(group_id("audit")));
    says(&mut bindings, 2, &[carried("log", &["log.>"])]);
    assert_eq!(bound_to(&bindings, "log.app"), Some(group_id("log")), "as at all other nodes");
    bindings.configure(carried("audit", &["log.>"]), true, &mut Vec::new()).unwrap();
    assert_eq!(bound_to(&bindings, "log.app"), Some(group_id("audit")));
}

#[test]
fn carriers_that_say_different_subjects_of_a_group_bind_all_of_them_and_it_is_told_once() {
    let mut bindings = linked(&[2, 3]);
    says(&mut bindings, 2, &[carried("log", &["log.a"])]);
    let out = says(&mut bindings, 3, &[carried("log", &["log.b"])]);
    assert!(out.contains(&BindingEffect::Differ("log".to_owned())), "{out:?}");
    for subject in ["log.a", "log.b"] {
        assert_eq!(bound_to(&bindings, subject), Some(group_id("log")));
    }
    assert!(
        !says(&mut bindings, 3, &[carried("log", &["log.c"])])
            .iter()
            .any(|it| matches!(it, BindingEffect::Differ(_)))
    );
    assert_eq!(bound_to(&bindings, "log.b"), None);
}

#[test]
fn what_no_node_may_say_is_refused_and_what_it_said_before_stands() {
    let mut bindings = linked(&[2]);
    says(&mut bindings, 2, &[carried("log", &["log.>"])]);
    let many: Vec<Carried> = (0..=Carried::GROUPS_MAX).map(|it| carried(&format!("g{it}"), &[])).collect();
    let long = carried("g", &[&"x".repeat(255)]);
    let wide = Carried { patterns: long.patterns.iter().cycle().take(200).cloned().collect(), ..long };
    for (all, why) in [
        (many.clone(), CarriesRefused::TooMany(many.len())),
        (vec![wide.clone()], CarriesRefused::TooLong(wide.weight())),
        (vec![carried("no name", &[])], CarriesRefused::Name("no name".to_owned())),
        (vec![carried("a", &[]), carried("a", &["x"])], CarriesRefused::Twice("a".to_owned())),
    ] {
        let refused = bindings.on_carries(node(2), LinkId::new(2), all.clone(), &mut Vec::new());
        assert_eq!(refused, Err(why));
        assert_eq!(bound_to(&bindings, "log.app"), Some(group_id("log")));
    }
    says(&mut bindings, 2, &many[1..]);
    for group in &many[1..] {
        bindings.configure(group.clone(), true, &mut Vec::new()).unwrap();
    }
    let refused = bindings.configure(many[0].clone(), true, &mut Vec::new());
    assert_eq!(refused, Err(CarriesRefused::TooMany(many.len())), "no peer would keep it");
    assert_eq!(bindings.carried().len(), Carried::GROUPS_MAX);
}

#[test]
fn answers_and_events_are_bound_to_no_group() {
    let mut bindings = linked(&[2]);
    says(&mut bindings, 2, &[carried("all", &[">"])]);
    assert_eq!(bound_to(&bindings, "_inbox.1.1.7"), None);
    assert_eq!(bound_to(&bindings, "_events.a.view"), None);
    assert_eq!(bound_to(&bindings, "anything"), Some(group_id("all")));
}

/// Something that happens to the bindings of a node.
#[derive(Clone, Debug)]
enum Act {
    Link(u64, u64),
    Unlink(u64, u64),
    Carries(u64, u64, Vec<Carried>),
    Configure(Carried, bool),
}

fn group() -> impl Strategy<Value = Carried> {
    let pattern = prop_oneof![6 => "[ab*](\\.[ab*]){0,2}(\\.>)?", 1 => "[ab]{200}"];
    let name = prop_oneof![8 => "[a-e]", 1 => "[ -~]{0,70}"];
    let patterns = prop_oneof![8 => proptest::collection::vec(pattern.clone(), 0..3), 1 => proptest::collection::vec(pattern, 0..200)];
    (name, patterns).prop_map(|(name, patterns)| Carried {
        name,
        patterns: patterns.iter().filter_map(|text| text.parse().ok()).collect(),
    })
}

fn act() -> impl Strategy<Value = Act> {
    let groups = prop_oneof![8 => proptest::collection::vec(group(), 0..4), 1 => proptest::collection::vec(group(), 0..40)];
    prop_oneof![
        3 => (0_u64..4, 0_u64..3).prop_map(|(peer, link)| Act::Link(peer, link)),
        2 => (0_u64..4, 0_u64..3).prop_map(|(peer, link)| Act::Unlink(peer, link)),
        8 => (0_u64..4, 0_u64..3, groups).prop_map(|(peer, link, all)| Act::Carries(peer, link, all)),
        1 => (group(), any::<bool>()).prop_map(|(group, here)| Act::Configure(group, here)),
    ]
}

/// What is bound, as a shell knows it that was told the effects.
fn follow(shell: &mut BTreeMap<GroupId, BTreeSet<Pattern>>, bindings: &Bindings, out: &[BindingEffect]) {
    for effect in out {
        match effect {
            BindingEffect::Changed(group) => {
                let bound = bindings.groups().find(|(id, _)| id == group).map(|(_, bound)| bound.clone());
                shell.insert(*group, bound.expect("it is known"));
            }
            BindingEffect::Forgotten(group, bound) => assert_eq!(shell.remove(group).as_ref(), Some(bound)),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn whatever_peers_say_no_more_is_kept_than_may_be_and_all_nodes_that_hear_it_agree(
        acts in proptest::collection::vec(act(), 0..40),
    ) {
        let (mut bindings, mut shell) = (Bindings::default(), BTreeMap::new());
        let mut heard: BTreeMap<u64, (u64, Vec<Carried>)> = BTreeMap::new();
        let mut configured = Vec::new();
        for act in acts {
            let mut out = Vec::new();
            match act {
                Act::Link(peer, link) => {
                    bindings.on_link(node(peer), LinkId::new(link), &mut out);
                    heard.insert(peer, (link, Vec::new()));
                }
                Act::Unlink(peer, link) => {
                    bindings.on_unlink(node(peer), LinkId::new(link), &mut out);
                    heard.retain(|it, (of, _)| (*it, *of) != (peer, link));
                }
                Act::Carries(peer, link, all) => {
                    let done = bindings.on_carries(node(peer), LinkId::new(link), all.clone(), &mut out);
                    let present = heard.get_mut(&peer).filter(|(of, _)| *of == link);
                    if let (Ok(()), Some((_, said))) = (done, present) {
                        *said = all;
                    }
                }
                Act::Configure(group, here) => {
                    if bindings.configure(group.clone(), here, &mut out).is_ok() {
                        configured.push((group, here));
                    }
                }
            }
            follow(&mut shell, &bindings, &out);
            for peer in bindings.peers.values() {
                prop_assert!(peer.said.len() <= Carried::GROUPS_MAX, "I2");
            }
            for (id, known) in &bindings.groups {
                prop_assert!(known.configured.is_some() || !known.carriers.is_empty(), "I1");
                for other in bindings.groups.iter().filter(|(other, _)| *other != id) {
                    let common = known.bound.iter().any(|a| other.1.bound.iter().any(|b| a.overlaps(b)));
                    prop_assert!(!common, "I3");
                }
            }
            for text in ["a", "b", "a.b", "b.a", "a.b.a", "b.a.a.b"] {
                let subject: Subject = text.parse().unwrap();
                let selects = |known: &Known| known.bound.iter().any(|pattern| pattern.matches(&subject));
                let first = bindings.groups.iter().find(|(_, known)| selects(known)).map(|(id, _)| *id);
                prop_assert_eq!(bindings.group_of(&subject), first, "I4");
            }
        }
        let bound: BTreeMap<_, _> = bindings.groups().map(|(id, bound)| (id, bound.clone())).collect();
        prop_assert_eq!(&shell, &bound, "who is told of changes knows all");
        // Another node hears the same, the last first.
        let mut other = Bindings::default();
        for (group, here) in configured {
            other.configure(group, here, &mut Vec::new()).unwrap();
        }
        for (peer, (link, said)) in heard.into_iter().rev() {
            other.on_link(node(peer), LinkId::new(link), &mut Vec::new());
            other.on_carries(node(peer), LinkId::new(link), said, &mut Vec::new()).unwrap();
        }
        let agreed: BTreeMap<_, _> = other.groups().map(|(id, bound)| (id, bound.clone())).collect();
        prop_assert_eq!(agreed, bound);
    }
}
