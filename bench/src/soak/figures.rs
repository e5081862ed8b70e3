//! The last third of a run beside its first.

use super::{
    Disturbance,
    run::{LOST_PERCENT, Plan, Run},
    tally::{Alike, Present, Slices, Thirds},
};
use crate::{
    Bound, OfRuns, Record, Unit,
    measure::{Latencies, Reading},
    results::{MEMORY_KEPT, Named},
};

const BASELINE_IS: &str = "the first third of the same run";
const ALIKE_IS: &str =
    "the first third of the same run; of both only seconds with the same members in the view throughout";
const LOSS_IS: &str = "packets that are lost";
const SENT_IS: &str = "messages that were sent";
const CORES_IS: &str = "the processor cores that a thread for each member can keep busy here";
/// In place of figures.
const TOO_FEW: &str = "none: too few seconds with the same members in the view throughout";
/// Of fewer slices of a third nothing is said.
const SLICES_LEAST: usize = 5;

/// What still counts as flat: how much the last third may differ from the first.
const THROUGHPUT_KEPT: Bound = Bound::AtLeast(0.9);
const LATENCY_KEPT: Bound = Bound::AtMost(1.2);
/// Of the packets that are lost a good part is sent again: all but those that only acknowledge.
const LOSS_SEEN: Bound = Bound::AtLeast(0.25);
/// A run at full load leaves no more of the processor unused.
const CORES_BUSY: Bound = Bound::AtLeast(0.9);

/// Names a figure of a case, with what is wanted of it and what its baseline is.
type Naming<'a> = dyn Fn(&str, Unit, Option<Bound>, &'static str) -> Named + 'a;

/// The last third beside the first: throughput and latency where the same members were in the view, the rest of
/// the whole; and what shows what kind of run it was.
pub(super) fn figures(case: &str, plan: &Plan, run: &Run) -> Vec<Record> {
    let named = |what: &str, unit: Unit, wanted: Option<Bound>, baseline_is| {
        let case = format!("{case} {what}");
        Named { bench: "soak", case, unit, of_runs: OfRuns::Median, wanted, baseline_is }
    };
    let mut records = of_alike(plan, run, &named);
    let resident: Vec<f64> = run.resident.iter().skip(1).map(|bytes| *bytes as f64).collect();
    records.extend(Record::of_thirds(
        &named("resident", Unit::Bytes, Some(MEMORY_KEPT), BASELINE_IS),
        &resident,
    ));
    let mut beside = |named: &Named, ours: &[f64], baseline: f64| {
        records.extend(Record::beside(named, ours.iter().copied(), [baseline]));
    };
    let mut counted = |what: &str, count: u64, wanted| {
        beside(&named(what, Unit::Count, wanted, BASELINE_IS), &[count as f64], 0.0);
    };
    counted("members that left or were set aside", run.departures, None);
    counted("live members taken for dead", run.suspicions, Some(Bound::ValueBelow(1.0)));
    if plan.disturbance == Disturbance::Loss {
        let named = named("packets sent again", Unit::Percent, Some(LOSS_SEEN), LOSS_IS);
        beside(&named, &[run.lost_percent], LOST_PERCENT.into());
    }
    // The run has ended with an error if one of them is not what was sent.
    let counters: Vec<f64> = run.counted.iter().map(|count| *count as f64).collect();
    let as_sent = Some(Bound::AtLeast(1.0));
    beside(&named("messages, by each counter", Unit::Count, as_sent, SENT_IS), &counters, run.sent as f64);
    let cores = run.cores.min(plan.members) as f64;
    // Nothing holds the load up then, and nobody else is needed to keep all cores busy.
    let full = plan.disturbance == Disturbance::Nothing && run.cores <= plan.members;
    let wanted = full.then_some(CORES_BUSY);
    for (what, busy, wanted) in [
        ("processor cores kept busy, whole machine", run.machine_cores, wanted),
        ("processor cores kept busy, this process", run.usage.cores(), None),
    ] {
        let busy: Vec<f64> = busy.into_iter().collect();
        beside(&named(what, Unit::Cores, wanted, CORES_IS), &busy, cores);
    }
    for record in &mut records {
        record.cores_used = run.usage.cores();
        record.cpu_seconds = run.usage.cpu_seconds;
        record.peak_resident_bytes = run.usage.peak_resident_bytes;
    }
    records
}

/// The figures of what is alike in both thirds.
fn of_alike(plan: &Plan, run: &Run, named: &Naming<'_>) -> Vec<Record> {
    let changes = plan.disturbance.changes_views();
    let compared = Compared::in_all(&run.thirds);
    let enough = compared.slices.iter().all(|slices| *slices >= SLICES_LEAST);
    let beside = |named: &Named, [first, last]: [Vec<f64>; 2]| Record::beside(named, last, first);
    let figure = |what: &str, unit: Unit, wanted: Option<Bound>, read: &dyn Fn(&[&Alike]) -> Vec<f64>| {
        let named = named(what, unit, wanted, if changes { ALIKE_IS } else { BASELINE_IS });
        let thirds = || [0, 1].map(|third| read(&compared.alike(&run.thirds, third)));
        let found = enough.then(thirds).and_then(|thirds| beside(&named, thirds));
        Some(found.unwrap_or_else(|| Record::without_figures(&named, TOO_FEW)))
    };
    let slice = Slices::of(plan.window).length.as_secs_f64();
    let throughput = |members: &[&Alike]| {
        members.iter().flat_map(|alike| alike.messages_per_slice()).map(|messages| messages / slice).collect()
    };
    let mut records = vec![figure("throughput", Unit::MessagesPerSecond, Some(THROUGHPUT_KEPT), &throughput)];
    for (share, wanted) in [(0.5, Some(LATENCY_KEPT)), (0.99, None)] {
        let reading = Reading::Quantile(share);
        let merged = |members: &[&Alike]| {
            let mut all = Latencies::new();
            for alike in members {
                all.add(&alike.latencies);
            }
            all.into_sample().read(reading).into_iter().collect()
        };
        records.push(figure(&reading.name(), Unit::Microseconds, wanted, &merged));
    }
    if changes {
        let time = named("time compared", Unit::Seconds, None, BASELINE_IS);
        records.push(beside(&time, compared.slices.map(|slices| vec![slices as f64 * slice])));
        let (voting, learning) = compared.who.as_ref().map(Present::counts).unwrap_or_default();
        for (what, count) in [("voting members then", voting), ("learning members then", learning)] {
            let named = named(what, Unit::Count, None, BASELINE_IS);
            records.push(beside(&named, [vec![count as f64], vec![count as f64]]));
        }
    }
    records.into_iter().flatten().collect()
}

/// What the thirds have in common.
#[derive(Debug)]
struct Compared {
    /// Those who were in the view for the longest time in both thirds.
    who: Option<Present>,
    /// How many slices of each third that was the case, at all members at least.
    slices: [usize; 2],
}

impl Compared {
    fn in_all(members: &[Thirds]) -> Self {
        let everybody = members.iter().flatten().flat_map(|third| third.keys());
        let slices = |who: &Present| {
            let least = |third: usize| {
                let slices = members.iter().map(|thirds| thirds[third].get(who).map_or(0, Alike::slices));
                slices.min().unwrap_or(0)
            };
            [0, 1].map(least)
        };
        // Of equals the larger view.
        let who = everybody.max_by_key(|who| (slices(who).into_iter().min(), *who));
        Self { slices: who.map_or([0, 0], slices), who: who.cloned() }
    }

    /// What came then in a third, at each member.
    fn alike<'a>(&self, members: &'a [Thirds], third: usize) -> Vec<&'a Alike> {
        let who = self.who.as_ref();
        members.iter().filter_map(|thirds| thirds[third].get(who?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate::protocols::{Order, SlowPolicy};

    use super::*;
    use crate::{
        Usage,
        soak::{PIECES, SoakArgs, tally::Tally},
    };

    const SECOND: Duration = Duration::from_secs(1);

    /// A run in which a member is there in some seconds, and three get less than two without it.
    fn run(disturbance: Disturbance, is_whole: impl Fn(u32) -> bool) -> Vec<Record> {
        let length = SECOND * PIECES as u32;
        let plan = SoakArgs { length, ..SoakArgs::default() }.plan(Order::Uniform, disturbance);
        let member = || {
            let (mut tally, mut whole) = (Tally::new(Slices::of(plan.window), Present::all(3)), true);
            for second in 0..PIECES as u32 {
                if is_whole(second) != whole {
                    whole = !whole;
                    tally.on_view(SECOND * second, Present::all(if whole { 3 } else { 2 }));
                }
                let (messages, millis) = if whole { (10, 8) } else { (100, 2) };
                for _ in 0..messages {
                    tally.on_message(SECOND * second, Some(Duration::from_millis(millis)));
                }
            }
            tally.on_message(length, None);
            tally.into_thirds()
        };
        let run = Run {
            thirds: vec![member(), member()],
            resident: vec![1 << 20; PIECES],
            suspicions: 0,
            departures: 1,
            lost_percent: 0.0,
            sent: 7,
            counted: vec![7; 4],
            usage: Usage { seconds: 8.0, cpu_seconds: Some(12.0), peak_resident_bytes: Some(2 << 20) },
            machine_cores: Some(1.9),
            cores: 2,
        };
        figures("a run", &plan, &run)
    }

    fn find<'a>(records: &'a [Record], what: &str) -> &'a Record {
        let found = records.iter().find(|record| record.case.contains(what));
        found.unwrap_or_else(|| panic!("no {what}: {records:?}"))
    }

    /// How many voted and how many learned while the thirds were compared.
    fn members(records: &[Record]) -> (f64, f64) {
        (find(records, "voting members then").value, find(records, "learning members then").value)
    }

    #[test]
    fn thirds_that_differ_in_their_views_alone_are_alike() {
        for disturbance in [Disturbance::Churn, Disturbance::Slow(SlowPolicy::Demote)] {
            let records = run(disturbance, |second| !(6..24).contains(&second));
            let throughput = find(&records, "throughput");
            assert_eq!((throughput.value, throughput.ratio, throughput.holds), (10.0, 1.0, Some(true)));
            assert_eq!((find(&records, "p50").ratio, find(&records, "p99").ratio), (1.0, 1.0));
            let time = find(&records, "a run time compared");
            assert_eq!((time.baseline, time.value, time.unit), (5.0, 6.0, Unit::Seconds));
            assert_eq!(members(&records), (3.0, 0.0));
        }
    }

    #[test]
    fn what_lasts_longest_in_both_thirds_is_compared() {
        let records = run(Disturbance::Slow(SlowPolicy::Evict), |second| second < 3);
        assert_eq!((find(&records, "throughput").value, find(&records, "throughput").ratio), (100.0, 1.0));
        let time = find(&records, "a run time compared");
        assert_eq!((time.baseline, time.value), (7.0, 10.0));
        assert_eq!(members(&records), (2.0, 0.0));
    }

    #[test]
    fn without_enough_in_common_there_are_no_figures() {
        let records = run(Disturbance::Churn, |second| second < 16);
        for what in ["throughput", "p50", "p99"] {
            let record = find(&records, &format!("a run {what}"));
            assert!(record.value.is_nan() && record.holds.is_none(), "{record:?}");
            assert_eq!(record.baseline_is, TOO_FEW);
        }
        // So that several runs can be compared, whatever went on in them.
        let names = |records: &[Record]| records.iter().map(|it| it.case.clone()).collect::<Vec<_>>();
        assert_eq!(names(&records), names(&run(Disturbance::Churn, |_| true)));
        let (time, resident) = (find(&records, "time compared"), find(&records, "resident"));
        assert_eq!((time.baseline.min(time.value), resident.ratio), (0.0, 1.0));
    }

    #[test]
    fn where_the_view_stays_the_whole_thirds_are_compared() {
        let records = run(Disturbance::Nothing, |_| true);
        assert_eq!((find(&records, "throughput").ratio, find(&records, "p50").ratio), (1.0, 1.0));
        assert!(records.iter().all(|record| !record.case.contains("time compared")), "{records:?}");
    }

    #[test]
    fn a_run_at_full_load_keeps_the_machine_busy_and_says_what_it_cost() {
        let records = run(Disturbance::Nothing, |_| true);
        let machine = find(&records, "whole machine");
        assert_eq!((machine.value, machine.ratio, machine.holds), (1.9, 0.95, Some(true)));
        let own = find(&records, "this process");
        assert_eq!((own.value, own.baseline, own.holds), (1.5, 2.0, None));
        let costs = |it: &Record| (it.cores_used, it.cpu_seconds, it.peak_resident_bytes);
        assert!(records.iter().all(|it| costs(it) == (Some(1.5), Some(12.0), Some(2 << 20))));
        let held_up = run(Disturbance::Slow(SlowPolicy::Block), |_| true);
        assert_eq!(find(&held_up, "whole machine").holds, None);
    }

    #[test]
    fn what_was_counted_is_beside_what_was_sent() {
        let records = run(Disturbance::Nothing, |_| true);
        let counted = find(&records, "messages, by each counter");
        assert_eq!((counted.value, counted.range, counted.baseline), (7.0, (7.0, 7.0), 7.0));
        assert_eq!(counted.holds, Some(true));
    }
}
