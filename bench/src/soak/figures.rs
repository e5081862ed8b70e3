//! The last third of a run beside its first.

use super::{
    Disturbance, THIRDS,
    run::{LOST_PERCENT, Plan, Run},
    tally::{Alike, Present, Slices, Thirds},
};
use crate::{
    Bound, Record, Unit,
    record::Named,
    sample::{Latencies, Reading},
};

const BASELINE_IS: &str = "the first third of the same run";
const ALIKE_IS: &str = "the first third of the same run; of both thirds only seconds with the same members in the view throughout";
const LOSS_IS: &str = "packets that are lost";
/// In place of figures.
const TOO_FEW: &str = "too few seconds with the same members";
/// Of fewer slices of a third nothing is said.
const SLICES_LEAST: usize = 5;

/// What still counts as flat: how much the last third may differ from the first. Memory is what one run
/// of an allocator differs from the next.
const THROUGHPUT_KEPT: Bound = Bound::AtLeast(0.9);
const LATENCY_KEPT: Bound = Bound::AtMost(1.2);
const MEMORY_KEPT: Bound = Bound::AtMost(1.1);
/// Of the packets that are lost a good part is sent again: all but those that only acknowledge.
const LOSS_SEEN: Bound = Bound::AtLeast(0.25);

/// The last third beside the first: throughput and latency where the same members were in the view, the rest of
/// the whole.
pub(super) fn figures(case: &str, plan: &Plan, run: &Run) -> Vec<Record> {
    let changes = plan.disturbance.changes_views();
    let compared = Compared::in_all(&run.thirds);
    let enough = compared.slices.iter().all(|slices| *slices >= SLICES_LEAST);
    let named = |what: &str, unit: Unit, wanted: Option<Bound>, baseline_is| {
        let case = format!("{case} {what}");
        Named { bench: "soak", case, unit, worst: false, wanted, baseline_is }
    };
    let beside = |named: &Named, [first, last]: [Vec<f64>; 2]| Record::beside(named, last, first);
    // Of what is alike in both thirds.
    let of_alike = |what: &str, unit: Unit, wanted: Option<Bound>, read: &dyn Fn(&[&Alike]) -> Vec<f64>| {
        let named = named(what, unit, wanted, if changes { ALIKE_IS } else { BASELINE_IS });
        if enough {
            beside(&named, [0, 1].map(|third| read(&compared.alike(&run.thirds, third))))
        } else {
            Some(Record::without_figures(&named, TOO_FEW))
        }
    };
    let slice = Slices::of(plan.window).length.as_secs_f64();
    let throughput = |members: &[&Alike]| {
        members.iter().flat_map(|alike| alike.messages_per_slice()).map(|messages| messages / slice).collect()
    };
    let mut records =
        vec![of_alike("throughput", Unit::MessagesPerSecond, Some(THROUGHPUT_KEPT), &throughput)];
    for (share, wanted) in [(0.5, Some(LATENCY_KEPT)), (0.99, None)] {
        let reading = Reading::Quantile(share);
        let merged = |members: &[&Alike]| {
            let mut all = Latencies::new();
            for alike in members {
                all.add(&alike.latencies);
            }
            all.into_sample().read(reading).into_iter().collect()
        };
        records.push(of_alike(&reading.name(), Unit::Microseconds, wanted, &merged));
    }
    if changes {
        let who = compared.who.as_ref().map(|who| format!(", {who}")).unwrap_or_default();
        let named = named(&format!("time compared{who}"), Unit::Seconds, None, BASELINE_IS);
        records.push(beside(&named, compared.slices.map(|slices| vec![slices as f64 * slice])));
    }
    let resident = THIRDS.map(|third| {
        let bytes = run.resident.get(third).unwrap_or_default();
        bytes.iter().map(|bytes| *bytes as f64).collect()
    });
    records.push(beside(&named("resident", Unit::Bytes, Some(MEMORY_KEPT), BASELINE_IS), resident));
    let counted = |what: &str, count: u64, wanted| {
        beside(&named(what, Unit::Count, wanted, BASELINE_IS), [vec![0.0], vec![count as f64]])
    };
    records.push(counted("members that left or were set aside", run.departures, None));
    records.push(counted("live members taken for dead", run.suspicions, Some(Bound::ValueBelow(1.0))));
    if plan.disturbance == Disturbance::Loss {
        let named = named("packets sent again", Unit::Percent, Some(LOSS_SEEN), LOSS_IS);
        records.push(beside(&named, [vec![LOST_PERCENT.into()], vec![run.lost_percent]]));
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
    use crate::soak::{PIECES, SoakArgs, tally::Tally};

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
        };
        figures("a run", &plan, &run)
    }

    fn find<'a>(records: &'a [Record], what: &str) -> &'a Record {
        let found = records.iter().find(|record| record.case.contains(what));
        found.unwrap_or_else(|| panic!("no {what}: {records:?}"))
    }

    #[test]
    fn thirds_that_differ_in_their_views_alone_are_alike() {
        for disturbance in [Disturbance::Churn, Disturbance::Slow(SlowPolicy::Demote)] {
            let records = run(disturbance, |second| !(6..24).contains(&second));
            let throughput = find(&records, "throughput");
            assert_eq!((throughput.value, throughput.ratio, throughput.holds), (10.0, 1.0, Some(true)));
            assert_eq!((find(&records, "p50").ratio, find(&records, "p99").ratio), (1.0, 1.0));
            let time = find(&records, "a run time compared, 3 voting");
            assert_eq!((time.baseline, time.value, time.unit), (5.0, 6.0, Unit::Seconds));
        }
    }

    #[test]
    fn what_lasts_longest_in_both_thirds_is_compared() {
        let records = run(Disturbance::Slow(SlowPolicy::Evict), |second| second < 3);
        assert_eq!((find(&records, "throughput").value, find(&records, "throughput").ratio), (100.0, 1.0));
        let time = find(&records, "a run time compared, 2 voting");
        assert_eq!((time.baseline, time.value), (7.0, 10.0));
    }

    #[test]
    fn without_enough_in_common_there_are_no_figures() {
        let records = run(Disturbance::Churn, |second| second < 16);
        for what in ["throughput", "p50", "p99"] {
            let record = find(&records, &format!("a run {what}: {TOO_FEW}"));
            assert!(record.value.is_nan() && record.holds.is_none(), "{record:?}");
        }
        let (time, resident) = (find(&records, "time compared"), find(&records, "resident"));
        assert_eq!((time.baseline.min(time.value), resident.ratio), (0.0, 1.0));
    }

    #[test]
    fn where_the_view_stays_the_whole_thirds_are_compared() {
        let records = run(Disturbance::Nothing, |_| true);
        assert_eq!((find(&records, "throughput").ratio, find(&records, "p50").ratio), (1.0, 1.0));
        assert!(records.iter().all(|record| !record.case.contains("time compared")), "{records:?}");
    }
}
