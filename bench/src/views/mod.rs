//! How long a group takes to go on without a member, under load: one that was killed, and one that leaves.

mod timelines;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesOrdered};
use quorate::{Bus, PublishError, membership::Timing};
use tokio::sync::oneshot;

use self::timelines::{Timelines, micros_after};
use crate::{
    BenchError, Bound, Machine, OfRuns, Progress, Record, Report, Series, SideSeries, Timeline, Unit, Usage,
    places::{Nodes, in_system},
    results::{Named, Rounds},
};

/// What the benchmark of view changes measures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ViewsArgs {
    /// The command `quorate`, which runs the nodes.
    pub program: PathBuf,
    /// Members of the group. Default 3.
    pub members: usize,
    /// How often a member is killed, and how often one leaves. Default 20.
    pub rounds: usize,
    /// For how long messages are published before that happens, and after it is over. Default 300 ms.
    pub load: Duration,
}

impl ViewsArgs {
    /// The default of all else.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), members: 3, rounds: 20, load: Duration::from_millis(300) }
    }

    fn check(&self) -> Result<(), BenchError> {
        let refuse = |why: &str| Err(BenchError::Settings(why.into()));
        if !(3..=9).contains(&self.members) {
            return refuse("measure 3 to 9 members: of fewer no majority goes on");
        }
        if self.rounds == 0 || self.rounds > 10_000 {
            return refuse("measure 1 to 10,000 rounds");
        }
        Ok(())
    }
}

/// The detection time of nodes by default, in microseconds.
const DETECT_US: f64 = Timing::DEFAULT.detect().as_micros() as f64;
const BASELINE_IS: &str = "the detection time that nodes have by default, which is set and not measured";
/// Bytes of the messages that are published meanwhile, and how many are on their way.
const MESSAGE_BYTES: usize = 64;
const ON_THE_WAY: usize = 64;
const SUBJECT: &str = "log.bench";

/// How a member goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Going {
    Killed,
    Leaves,
}

impl Going {
    /// What happens to it.
    const fn what(self) -> &'static str {
        match self {
            Self::Killed => "was killed",
            Self::Leaves => "was told to leave",
        }
    }
}

/// What one round took.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Until all others were in the next view.
    installed: Duration,
    /// The longest time between two acknowledgements.
    blocked: Duration,
    /// What it cost all members.
    usage: Usage,
}

/// Measures a group whose members are processes of their own, while a client publishes as fast as
/// acknowledgements come: how long after the death or the departure of a member all others have installed the next
/// view, and for how long nothing was acknowledged. Members go in turns; the one that the client uses
/// stays. Blocks the calling thread until all is measured.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn views(args: &ViewsArgs, observer: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let settings = format!(
        "a process per member, messages of {MESSAGE_BYTES} B published by a client, {ON_THE_WAY} of them on their \
         way; {} members that go in either way, one after the other",
        args.rounds
    );
    let report = Report::begin(machine, None, settings, observer);
    let records = in_system(|| measure(args, observer))?;
    Ok(report.with(records))
}

async fn measure(
    args: &ViewsArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<Record>, BenchError> {
    let mut nodes = Nodes::start(&args.program, args.members).await?;
    let ways = [Going::Killed, Going::Leaves];
    let (mut records, mut done, steps) = (Vec::new(), 0, ways.len() * args.rounds);
    for going in ways {
        let (mut rounds, mut timelines) = (Vec::new(), Timelines::default());
        for round in 0..args.rounds {
            observer(Progress::Step { done, steps, case: name(args.members, going) });
            let (took, acknowledged_us) = go(args, &mut nodes, round % args.members, going).await?;
            let timeline = Timeline { run: 1, round: round + 1, what: going.what(), acknowledged_us };
            timelines.add(took.blocked, timeline);
            done += 1;
            rounds.push(took);
        }
        for record in figures(args.members, going, &rounds, timelines.kept()) {
            observer(Progress::Measured(record.clone()));
            records.push(record);
        }
    }
    Ok(records)
}

/// One member goes, and comes back. Returns what it took, and when acknowledgements came, in microseconds
/// after it went.
async fn go(
    args: &ViewsArgs,
    nodes: &mut Nodes,
    who: usize,
    going: Going,
) -> Result<(Round, Vec<i64>), BenchError> {
    let client = nodes.client((who + 1) % args.members).await?;
    let meter = nodes.meter();
    let (stop, stopped) = oneshot::channel();
    let publishing = actix_rt::spawn(publish(client.bus(), stopped));
    tokio::time::sleep(args.load).await;
    let begun = match going {
        Going::Killed => nodes.kill(who)?,
        Going::Leaves => nodes.dismiss(who),
    };
    let installed = nodes.await_views((args.members - 1, args.members - 1), begun).await?;
    tokio::time::sleep(args.load).await;
    drop(stop);
    let acknowledged = publishing.await.map_err(BenchError::task)?.map_err(BenchError::ours)?;
    client.close().await;
    let usage = meter.stop();
    let again = Instant::now();
    nodes.run(who)?;
    nodes.await_views((args.members, args.members), again).await?;
    let blocked = longest_gap(&acknowledged, begun)
        .ok_or_else(|| BenchError::Ours("nothing was acknowledged after a member had gone".into()))?;
    let round = Round { installed: installed.saturating_duration_since(begun), blocked, usage };
    Ok((round, acknowledged.into_iter().map(|at| micros_after(begun, at)).collect()))
}

/// Publishes until it is told to stop; returns when each message was acknowledged.
async fn publish(bus: Bus, mut stopped: oneshot::Receiver<()>) -> Result<Vec<Instant>, PublishError> {
    let payload = Bytes::from_static(&[0x5a; MESSAGE_BYTES]);
    let (mut on_their_way, mut acknowledged) = (FuturesOrdered::new(), Vec::new());
    loop {
        // It is closed when its other end is dropped.
        let goes_on = stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty);
        while goes_on && on_their_way.len() < ON_THE_WAY {
            on_their_way.push_back(bus.begin(SUBJECT, payload.clone()).await?.acknowledged());
        }
        match on_their_way.next().await {
            Some(outcome) => outcome?,
            None => return Ok(acknowledged),
        }
        acknowledged.push(Instant::now());
    }
}

/// The longest time between two acknowledgements, the second of which came after this moment.
fn longest_gap(acknowledged: &[Instant], after: Instant) -> Option<Duration> {
    let pairs = acknowledged.windows(2).filter(|pair| pair[1] > after);
    pairs.map(|pair| pair[1].duration_since(pair[0])).max()
}

fn name(members: usize, going: Going) -> String {
    let what = if going == Going::Killed { "one is killed" } else { "one leaves" };
    format!("{members} members, {what}")
}

/// The name of a figure, its rounds, how they are taken together, and what is wanted of it.
type Figure<'a> = (String, &'a [f64], &'a Arc<Series>, OfRuns, Option<Bound>);

fn figures(members: usize, going: Going, rounds: &[Round], timelines: Vec<Timeline>) -> Vec<Record> {
    let killed = going == Going::Killed;
    let all = |of: fn(&Round) -> Duration| -> Vec<f64> {
        rounds.iter().map(|round| of(round).as_secs_f64() * 1e6).collect()
    };
    let (installed, blocked) = (all(|round| round.installed), all(|round| round.blocked));
    let below = |bound: f64| Some(Bound::ValueBelow(bound));
    let (beyond, planned) = (DETECT_US + 50_000.0, 20_000.0);
    let case = |what: &str| format!("{}: {what}", name(members, going));
    let view = |what: &str| case(&format!("until all others have the next view, {what}"));
    let gap = |what: &str| case(&format!("nothing acknowledged for, {what}"));
    let cost = Rounds { samples: Vec::new(), usage: rounds.iter().map(|round| round.usage).collect() };
    let until = series(case("until all others have the next view"), &installed, &cost, Vec::new());
    let silence = series(case("nothing acknowledged for"), &blocked, &cost, timelines);
    let median_wanted = if killed { Some(Bound::AtMost(1.0)) } else { None };
    let worst_wanted = if killed { below(1_000_000.0) } else { None };
    let figures: [Figure<'_>; 4] = [
        (view("median"), &installed, &until, OfRuns::Median, median_wanted),
        (view("worst"), &installed, &until, OfRuns::Largest, worst_wanted),
        (gap("median"), &blocked, &silence, OfRuns::Median, below(if killed { beyond } else { planned })),
        (gap("worst"), &blocked, &silence, OfRuns::Largest, None),
    ];
    let record = |(case, all, series, of_runs, wanted): Figure<'_>| {
        let (unit, baseline_is) = (Unit::Microseconds, BASELINE_IS);
        let named = Named { bench: "views", case, unit, of_runs, wanted, baseline_is };
        Some(Record {
            cores_used: cost.cores(),
            cpu_seconds: cost.cpu_seconds(),
            peak_resident_bytes: cost.peak_resident_bytes(),
            series: Some(Arc::clone(series)),
            ..Record::beside(&named, all.iter().copied(), [DETECT_US])?
        })
    };
    figures.into_iter().filter_map(record).collect()
}

/// The rounds one by one, in microseconds. They have no other side.
fn series(case: String, values: &[f64], cost: &Rounds, timelines: Vec<Timeline>) -> Arc<Series> {
    let round =
        |(&value, &usage)| crate::Round { run: 1, value: Some(value), usage: Some(usage), latencies: None };
    Arc::new(Series {
        bench: "views",
        case,
        unit: Unit::Microseconds,
        message_bytes: None,
        ours: SideSeries { rounds: values.iter().zip(&cost.usage).map(round).collect(), curves: Vec::new() },
        baseline: SideSeries::default(),
        timelines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_one_that_ends_after_the_member_has_gone() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let acknowledged = [0, 500, 510, 700, 720].map(at);
        assert_eq!(longest_gap(&acknowledged, at(505)), Some(Duration::from_millis(190)));
        assert_eq!(longest_gap(&acknowledged, at(499)), Some(Duration::from_millis(500)));
        assert_eq!(longest_gap(&acknowledged, at(720)), None);
    }

    #[test]
    fn what_is_wanted_is_asked_of_medians_and_of_the_worst_view() {
        let round = |installed, blocked| Round {
            installed: Duration::from_millis(installed),
            blocked: Duration::from_millis(blocked),
            usage: Usage { seconds: 1.0, cpu_seconds: Some(0.5), peak_resident_bytes: None },
        };
        let rounds = [round(400, 450), round(450, 540), round(1200, 900)];
        let holds = |going| -> Vec<Option<bool>> {
            figures(3, going, &rounds, Vec::new()).iter().map(|record| record.holds).collect()
        };
        assert_eq!(holds(Going::Killed), [Some(true), Some(false), Some(true), None]);
        assert_eq!(holds(Going::Leaves), [None, None, Some(false), None]);
        let found = figures(3, Going::Killed, &rounds, Vec::new());
        let values: Vec<(f64, OfRuns)> = found.iter().map(|record| (record.value, record.of_runs)).collect();
        let [median, worst] = [OfRuns::Median, OfRuns::Largest];
        assert_eq!(values, [(450e3, median), (1200e3, worst), (540e3, median), (900e3, worst)]);
        assert_eq!((found[1].ratio, found[1].baseline_range), (2.4, (DETECT_US, DETECT_US)));
        assert!(found.iter().all(|record| record.series.is_some()));
        let record = &figures(3, Going::Leaves, &rounds, Vec::new())[0];
        assert_eq!(
            (record.cpu_seconds, record.cores_used, record.peak_resident_bytes),
            (Some(1.5), Some(0.5), None)
        );
    }

    #[test]
    fn groups_of_which_no_majority_goes_on_are_refused() {
        for args in
            [ViewsArgs { members: 2, ..ViewsArgs::new("x") }, ViewsArgs { rounds: 0, ..ViewsArgs::new("x") }]
        {
            assert!(matches!(views(&args, &mut |_| ()), Err(BenchError::Settings(_))));
        }
    }
}
