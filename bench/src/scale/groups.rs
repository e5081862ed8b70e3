//! What a group more costs five nodes: to found it, to have it, and when a node dies.

use std::time::{Duration, Instant};

use quorate::{GroupSettings, membership::Timing};

use super::{
    Run,
    mesh::{GROUP_MEMBERS, Mesh},
};
use crate::{
    BenchError, Bound, OfRuns, Record, Unit,
    measure::{Busy, resident_bytes},
    results::Named,
};

/// The nodes over which groups are spread, each on three that are neighbours.
pub(super) const NODES: usize = 5;
/// Fewer groups take less memory than allocators keep for a while.
const WEIGHED_FROM: usize = 20;
/// Within this all groups of a thousand should have the next view, in microseconds; detection is part of it.
const VIEWS_WITHIN_US: f64 = 2e6;
const WANTED_UP_TO: usize = 1_000;

/// What nodes and groups that have just met still say to each other, and what QUIC finds out of the path, is over
/// by then.
const SETTLE: Duration = Duration::from_secs(2);

const FEWEST_IS: &str = "for founding, the same with the first number of groups";
const WITHOUT_IS: &str = "for idle nodes and memory, the same nodes before, with one group of all five";
const DETECT_IS: &str =
    "for a death, the detection time that nodes have by default, which is set and not measured";

/// A process that was watched while nothing happened, for each node.
#[derive(Clone, Copy, Debug)]
struct Idle {
    cores: Option<f64>,
    bytes_per_second: f64,
    resident: Option<f64>,
}

/// What one round gave.
#[derive(Clone, Copy, Debug)]
struct Round {
    founded: Duration,
    before: Idle,
    with: Idle,
    /// Groups that run at nodes, each counted at each.
    memberships: usize,
    viewed: Duration,
}

/// Measures all numbers of groups.
pub(super) async fn measure(run: &mut Run<'_>) -> Result<(), BenchError> {
    let mut fewest = None;
    for &groups in &run.args.groups {
        let (mut rounds, case) = (Vec::new(), name(groups));
        for _ in 0..run.args.schedule.rounds {
            rounds.push(round(run, groups).await.map_err(|error| error.in_case(&case))?);
        }
        let founded =
            fewest.get_or_insert_with(|| rounds.iter().map(|it| micros(it.founded)).collect::<Vec<_>>());
        run.keep(figures(groups, &rounds, founded));
    }
    Ok(())
}

fn name(groups: usize) -> String {
    format!("{groups} {}", if groups == 1 { "group" } else { "groups" })
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// Groups of three neighbours in the ring of nodes, spread evenly, of which the last node carries the first.
fn spread(groups: usize) -> Vec<GroupSettings> {
    let founders =
        |group: usize| (0..GROUP_MEMBERS).map(move |it| ((group + NODES - 1 + it) % NODES + 1) as u64);
    (0..groups).map(|group| GroupSettings::new(format!("g{group}"), founders(group))).collect()
}

async fn round(run: &mut Run<'_>, groups: usize) -> Result<Round, BenchError> {
    let case = name(groups);
    run.step(format!("{case}, idle without them"));
    let mut mesh = Mesh::start(NODES as u64, groups).await?;
    let before = idle(&mesh, run.args.idle).await;
    run.step(format!("{case}, founding"));
    let begun = Instant::now();
    mesh.found(&spread(groups)).await?;
    let founded = begun.elapsed();
    run.step(format!("{case}, idle"));
    let with = idle(&mesh, run.args.idle).await;
    run.step(format!("{case}, a node dies"));
    let memberships = mesh.memberships();
    let died = mesh.kill_last().await;
    mesh.end().await;
    let (dead, viewed) = died?;
    Ok(Round { founded, before, with, memberships, viewed: viewed.saturating_duration_since(dead) })
}

/// What a node needs while nothing happens.
async fn idle(mesh: &Mesh, span: Duration) -> Idle {
    let nodes = NODES as f64;
    tokio::time::sleep(span.min(SETTLE)).await;
    let (begun, busy, sent) = (Instant::now(), Busy::of("self"), mesh.traffic());
    tokio::time::sleep(span).await;
    let elapsed = begun.elapsed().as_secs_f64();
    let bytes = mesh.traffic().bytes.saturating_sub(sent.bytes);
    Idle {
        cores: busy
            .zip(Busy::of("self"))
            .map(|(before, after)| after.since(&before).as_secs_f64() / elapsed / nodes),
        bytes_per_second: bytes as f64 / elapsed / nodes,
        resident: resident_bytes("self").map(|bytes| bytes as f64),
    }
}

fn figures(groups: usize, rounds: &[Round], founded: &[f64]) -> Vec<Record> {
    let figure = |what: &str, unit, ours: Vec<f64>, baseline: Vec<f64>, wanted, baseline_is| {
        let case = format!("{}: {what}", name(groups));
        // Memory that an earlier round, or run, has given back is used again, so that the largest figure says most.
        let of_runs = if unit == Unit::Bytes { OfRuns::Largest } else { OfRuns::Median };
        Record::beside(&Named { bench: "scale", case, unit, of_runs, wanted, baseline_is }, ours, baseline)
    };
    let each = |of: &dyn Fn(&Round) -> Option<f64>| rounds.iter().filter_map(of).collect::<Vec<f64>>();
    let per_member = |round: &Round| {
        let grown = (round.with.resident? - round.before.resident?).max(0.0);
        Some(grown / round.memberships as f64)
    };
    let per_node = |round: &Round| Some(round.before.resident? / NODES as f64);
    let weighed = groups >= WEIGHED_FROM;
    let idle = Unit::BytesPerSecond;
    let within = (groups <= WANTED_UP_TO).then_some(Bound::ValueBelow(VIEWS_WITHIN_US));
    let all = [
        figure(
            "until all are founded",
            Unit::Microseconds,
            each(&|it| Some(micros(it.founded))),
            founded.into(),
            None,
            FEWEST_IS,
        ),
        figure(
            "memory per member of a group, at least",
            Unit::Bytes,
            each(&per_member),
            each(&per_node),
            None,
            WITHOUT_IS,
        )
        .filter(|_| weighed),
        figure(
            "an idle node, busy",
            Unit::Cores,
            each(&|it| it.with.cores),
            each(&|it| it.before.cores),
            None,
            WITHOUT_IS,
        ),
        figure(
            "an idle node, sent",
            idle,
            each(&|it| Some(it.with.bytes_per_second)),
            each(&|it| Some(it.before.bytes_per_second)),
            None,
            WITHOUT_IS,
        ),
        figure(
            "a node dies, until all have the next view",
            Unit::Microseconds,
            each(&|it| Some(micros(it.viewed))),
            vec![micros(Timing::DEFAULT.detect())],
            within,
            DETECT_IS,
        ),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_spread_evenly_over_neighbours_and_the_last_node_has_the_first() {
        let groups = spread(100);
        assert_eq!(groups[0].founders, [5, 1, 2]);
        for node in 1..=NODES as u64 {
            let here = groups.iter().filter(|group| group.founders.contains(&node)).count();
            assert_eq!(here, 100 * GROUP_MEMBERS / NODES);
        }
    }

    #[test]
    fn memory_is_what_was_added_for_each_member_and_two_seconds_are_asked_of_a_thousand_groups() {
        let idle = |resident| Idle { cores: Some(0.01), bytes_per_second: 1e3, resident: Some(resident) };
        let (founded, viewed) = (Duration::from_millis(10), Duration::from_millis(2_100));
        let round = Round { founded, before: idle(20e6), with: idle(26e6), memberships: 300, viewed };
        let of = |groups| figures(groups, &[round], &[1e3]);
        let found = of(1_000);
        assert_eq!((found[0].value, found[0].ratio), (10_000.0, 10.0));
        assert_eq!((found[1].value, found[1].baseline), (20_000.0, 4e6));
        let of_runs = found.iter().map(|record| record.of_runs == OfRuns::Largest).collect::<Vec<_>>();
        assert_eq!(
            of_runs,
            [false, true, false, false, false],
            "what is freed is used again by the next run"
        );
        assert_eq!((found[4].value, found[4].holds), (2_100_000.0, Some(false)));
        assert_eq!(of(10_000)[4].holds, None);
        assert_eq!(of(1).len(), 4, "one group cannot be weighed");
    }
}
