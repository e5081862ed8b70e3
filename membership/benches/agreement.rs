//! What it costs to agree on the next view: a coordinator and the acceptors of all who are left, from the first
//! promise to the decision.
//!
//! Run: `cargo bench -p quorate-membership`

use std::{collections::BTreeSet, time::Duration};

use criterion::{BenchmarkId, Criterion};
use quorate_membership::{
    Change, Cut, Incarnation, Member, NodeId, Seq, View, ViewId,
    agreement::{Acceptor, Ballot, Coordinator, Phase, Plan, Promise, Step},
};

fn view(epoch: u64, members: &[Member], changes: Vec<(Member, Change)>) -> View {
    View {
        id: ViewId { lineage: 1, epoch },
        members: members.into(),
        witnesses: vec![],
        learners: vec![],
        changes,
        sides: vec![],
    }
}

/// All but the last member of a view decide the next one. Returns how many will be in it.
fn close(closing: &View) -> usize {
    let (lost, left) = closing.members.split_last().expect("a view of some");
    let ballot = Ballot { round: 1, by: left[0].node };
    let plan = Plan {
        awaited: left.iter().map(|member| member.node).collect(),
        excluded: BTreeSet::from([*lost]),
        ..Plan::default()
    };
    let mut coordinator = Coordinator::new(closing.clone(), ballot, plan, None);
    let mut acceptors: Vec<(Member, Acceptor)> =
        left.iter().map(|member| (*member, Acceptor::new(None))).collect();
    for (member, acceptor) in &mut acceptors {
        let accepted = acceptor.promise(ballot).expect("the first ballot");
        let holdings = (1..=closing.members.len() as u64).map(Seq::new).collect();
        coordinator.on_promise(*member, Promise { ballot, accepted, activated: true, holdings });
    }
    let Phase::Gathering { union, .. } = coordinator.phase().clone() else { panic!("all have promised") };
    let next = view(closing.id.epoch + 1, left, vec![(*lost, Change::Unreachable)]);
    let decree = coordinator.gathered(Cut(union), next);
    for (member, _) in &acceptors {
        coordinator.on_holding(*member, ballot);
    }
    for (member, acceptor) in &mut acceptors {
        acceptor.accept(ballot, decree.clone()).expect("the highest ballot");
        if let Step::Decided(decree) = coordinator.on_accepted(*member, ballot) {
            return decree.view.members.len();
        }
    }
    panic!("a majority has accepted")
}

fn main() {
    let mut criterion = Criterion::default().measurement_time(Duration::from_secs(3)).configure_from_args();
    let mut group = criterion.benchmark_group("agreement");
    for count in [3, 5] {
        let life = |number| Member::new(NodeId::new(number), Incarnation::new(1));
        let members: Vec<Member> = (1..=count).map(life).collect();
        let closing = view(1, &members, vec![]);
        group.bench_with_input(BenchmarkId::from_parameter(count), &closing, |bencher, closing| {
            bencher.iter(|| assert_eq!(close(closing) + 1, members.len()));
        });
    }
    group.finish();
    criterion.final_summary();
}
