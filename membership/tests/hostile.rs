//! Whatever peers say, the cores of membership neither panic nor break their own promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::{prelude::*, sample::select};
use quorate_membership::{
    Beat, Cut, Decree, Detector, DetectorEffect, Incarnation, Member, NodeId, Seq, Time, Timing, View,
    ViewId,
    agreement::{Acceptor, Agreement, Ballot, Coordinator, Phase, Plan, Promise, Step},
    majority,
};

fn member(node: u64, life: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(life))
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..5_u64, 1 => select(vec![u64::MAX, u64::MAX - 1, u64::MAX >> 1, 1 << 32])]
}

/// Milliseconds: now and then the clock jumps, for seconds or to its end.
fn pauses() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0..700_u64, 1 => 700..100_000_u64, 1 => select(vec![1 << 40, u64::MAX])]
}

fn members() -> impl Strategy<Value = Member> {
    (1..5_u64, prop_oneof![6 => Just(1), 1 => numbers()]).prop_map(|(node, life)| member(node, life))
}

fn ballots() -> impl Strategy<Value = Ballot> {
    (numbers(), 1..5_u64).prop_map(|(round, by)| Ballot { round, by: NodeId::new(by) })
}

fn counters() -> impl Strategy<Value = Vec<Seq>> {
    let some = |length| prop::collection::vec(numbers().prop_map(Seq::new), length);
    prop_oneof![4 => some(3..4), 1 => some(0..6)]
}

fn decrees() -> impl Strategy<Value = Decree> {
    let ids = || prop_oneof![3 => Just(1), 1 => numbers()].prop_map(|epoch| ViewId { lineage: 1, epoch });
    let some = |most| prop::collection::vec(members(), 0..most);
    let views = (ids(), some(4), some(2), some(2));
    (ids(), counters(), views).prop_map(|(closes, cut, (id, members, witnesses, learners))| {
        let view = View { id, members, witnesses, learners, changes: Vec::new(), sides: Vec::new() };
        Decree { closes, cut: Cut(cut), view }
    })
}

fn promises() -> impl Strategy<Value = Promise> {
    let accepted = prop::option::of((ballots(), decrees()));
    (ballots(), accepted, any::<bool>(), counters())
        .prop_map(|(ballot, accepted, activated, holdings)| Promise { ballot, accepted, activated, holdings })
}

fn three() -> View {
    let members = (1..=3).map(|node| member(node, 1)).collect();
    let (witnesses, learners, changes) = (Vec::new(), Vec::new(), Vec::new());
    View { id: ViewId { lineage: 1, epoch: 1 }, members, witnesses, learners, changes, sides: Vec::new() }
}

#[derive(Clone, Debug)]
enum Said {
    Promise(Member, Box<Promise>),
    Holding(Member, Ballot),
    Accepted(Member, Ballot),
    Choose,
    Vote,
}

fn sayings() -> impl Strategy<Value = Said> {
    let mine = Ballot { round: 7, by: NodeId::new(1) };
    let ballot = || prop_oneof![6 => Just(mine), 1 => ballots()];
    let promise = (promises(), ballot()).prop_map(|(promise, ballot)| Promise { ballot, ..promise });
    prop_oneof![
        4 => (members(), promise).prop_map(|(from, promise)| Said::Promise(from, Box::new(promise))),
        2 => (members(), ballot()).prop_map(|(from, ballot)| Said::Holding(from, ballot)),
        2 => (members(), ballot()).prop_map(|(from, ballot)| Said::Accepted(from, ballot)),
        1 => Just(Said::Choose),
        1 => Just(Said::Vote),
    ]
}

proptest! {
    #[test]
    fn an_acceptor_never_goes_back_and_reports_what_it_accepted_last(
        bids in prop::collection::vec((ballots(), prop::option::of(decrees())), 0..40),
    ) {
        let mut acceptor = Acceptor::new(None);
        let (mut highest, mut accepted) = (None, None);
        for (ballot, decree) in bids {
            let late = highest.is_some_and(|highest| highest > ballot);
            let done = match decree.clone() {
                None => acceptor.promise(ballot).map(|reported| assert_eq!(reported, accepted)),
                Some(decree) => acceptor.accept(ballot, decree),
            };
            prop_assert_eq!(done.is_err(), late);
            if !late {
                highest = Some(ballot);
                accepted = decree.map(|decree| (ballot, decree)).or(accepted);
            }
            prop_assert_eq!(acceptor.promised(), highest);
        }
    }

    #[test]
    fn a_coordinator_decides_one_decree_by_a_majority_or_by_everybody_however_its_peers_lie(
        said in prop::collection::vec(sayings(), 0..60),
        agreement in select(vec![Agreement::Majority, Agreement::Everybody]),
    ) {
        let view = three();
        let ballot = Ballot { round: 7, by: NodeId::new(1) };
        let plan = Plan { awaited: [1, 2, 3].map(NodeId::new).into(), agreement, ..Plan::default() };
        let needed = if agreement == Agreement::Everybody { 3 } else { majority(3) };
        let mut coordinator = Coordinator::new(view.clone(), ballot, plan, None);
        let mut votes = BTreeSet::new();
        let mut decided: Option<Decree> = None;
        for said in said {
            let accepting = matches!(coordinator.phase(), Phase::Accepting(_));
            let step = match said {
                Said::Promise(from, promise) => coordinator.on_promise(from, *promise),
                Said::Holding(from, ballot) => coordinator.on_holding(from, ballot),
                Said::Accepted(from, voted) => {
                    if accepting && voted == ballot && view.is_acceptor(from) {
                        votes.insert(from);
                    }
                    coordinator.on_accepted(from, voted)
                }
                Said::Choose => coordinator.choose(),
                Said::Vote => coordinator.vote(),
            };
            match step {
                Step::Wait | Step::Vote => {}
                Step::Gather => {
                    let Phase::Gathering { union, adopted } = coordinator.phase().clone() else {
                        panic!("asked to gather in another phase");
                    };
                    let answered = coordinator.answered().len();
                    prop_assert!(agreement == Agreement::Everybody || answered >= majority(3));
                    prop_assert!(adopted.as_ref().is_none_or(|decree| decree.closes == view.id));
                    let next = View { id: ViewId { lineage: 1, epoch: 2 }, ..view.clone() };
                    coordinator.gathered(Cut(union), next);
                }
                Step::Decided(decree) => {
                    prop_assert!(votes.len() >= needed, "decided by {votes:?}");
                    prop_assert!(decided.is_none_or(|former| former == decree));
                    decided = Some(decree);
                }
            }
            coordinator.unanswered();
        }
    }

    #[test]
    fn a_detector_reports_each_change_once_whatever_beats_come_and_however_the_clock_jumps(
        beats in prop::collection::vec((members(), numbers(), numbers(), pauses(), any::<[bool; 3]>()), 0..60),
        begin in select(vec![0, u64::MAX >> 1, u64::MAX - 1]),
        life in numbers(),
    ) {
        let mut now = Time::from_nanos(begin);
        let mut detector = Detector::new(member(1, life), Timing::DEFAULT);
        let mut out = Vec::new();
        for node in 1..4 {
            detector.watch(now, NodeId::new(node), &mut out);
        }
        let mut standing: BTreeMap<NodeId, bool> = BTreeMap::new();
        for (from, sequence, echo, pause, [wake, asks, ask]) in beats {
            now = now + Duration::from_millis(pause);
            detector.on_beat(now, from, Beat { sequence, echo, asks }, &mut out);
            if asks {
                detector.on_frames(now, from, Time::from_nanos(sequence), &mut out);
            }
            if ask {
                detector.ask(now, from.node, &mut out);
            }
            if wake {
                detector.on_wake(now, &mut out);
            }
            for effect in out.drain(..) {
                match effect {
                    DetectorEffect::Reachable { member } => {
                        prop_assert_ne!(member.node, NodeId::new(1));
                        prop_assert_ne!(standing.insert(member.node, true), Some(true));
                    }
                    DetectorEffect::Unreachable { node } => {
                        prop_assert_ne!(standing.insert(node, false), Some(false));
                    }
                    DetectorEffect::Superseded { old, new } => {
                        prop_assert!(old.node == new.node && old.incarnation < new.incarnation);
                        standing.remove(&new.node);
                    }
                    DetectorEffect::Send { to, .. } => prop_assert_ne!(to, NodeId::new(1)),
                    DetectorEffect::Stalled { .. }
                    | DetectorEffect::RoundTrip { .. }
                    | DetectorEffect::WakeAt(_) => {}
                }
            }
        }
    }
}
