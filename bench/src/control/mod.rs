//! Heartbeats while data takes all that two nodes can do, beside the same while they are idle.

mod beats;
mod silence;

use std::{sync::Arc, time::Duration};

use quorate::{GroupSettings, membership::Timing, protocols::Order};
use serde::{Deserialize, Serialize};

use self::beats::Beats;
use crate::{
    BenchError, Bound, Machine, Progress, Record, Report, Schedule,
    measure::{Case, Harness, Load, MESSAGE_BYTES_MAX, Reading, check_lost, check_sizes},
    multicast::GroupFlow,
    places::{Cluster, Trouble, in_system},
    results::Size,
};

/// What the benchmark of control traffic measures.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlArgs {
    /// Bytes of the messages that both nodes multicast meanwhile, as fast as they are taken. Default
    /// 1 KiB and 64 KiB.
    pub sizes: Vec<usize>,
    /// Of a hundred packets so many are lost on the way, each way, whatever is in them. Default none, then one.
    pub lost_percent: Vec<u8>,
    /// Batches of 64 KiB that each node has handed over and that are not accepted yet, at most. Default 4.
    pub batches: usize,
    /// Time from one heartbeat to the next. Default 5 ms, a twentieth of what nodes do by themselves,
    /// or a quantile of few heartbeats would take an hour.
    pub pace: Duration,
    /// How long and how often. Default 5 rounds of 5 s, of about 2,000 heartbeats each.
    pub schedule: Schedule,
}

impl Default for ControlArgs {
    fn default() -> Self {
        Self {
            sizes: vec![1 << 10, 64 << 10],
            lost_percent: vec![0, 1],
            batches: 4,
            pace: Duration::from_millis(5),
            schedule: Schedule { round: Duration::from_secs(5), ..Schedule::default() },
        }
    }
}

/// A quarter of the detection time, in microseconds: above it, heartbeats that wait one after the
/// other could be taken for a silent node.
const WANTED_US: f64 = Timing::DEFAULT.detect().as_micros() as f64 / 4.0;
const BASELINE_IS: &str = "the same nodes without data";

impl ControlArgs {
    fn check(&self) -> Result<(), BenchError> {
        check_sizes(&self.sizes, 1..=MESSAGE_BYTES_MAX)?;
        check_lost(&self.lost_percent)?;
        if self.batches == 0 || self.pace.is_zero() {
            return Err(BenchError::Settings(
                "at least one batch must be on its way, and some time between two heartbeats".into(),
            ));
        }
        Ok(())
    }
}

/// Measures round trips of heartbeats between two nodes over QUIC, in this process and each on a
/// thread of its own, while both multicast as fast as they can, beside the same nodes while idle.
/// Heartbeats take the way that nodes' own take, through mesh and failure detector.
///
/// Packets are lost below QUIC, those of the data and of heartbeats alike. A heartbeat that is lost there or back,
/// which is never sent again, has no round trip; how many are lost is a figure of its own. What they cost shows in the
/// silences: from one answer to the next, had only so many heartbeats been sent as nodes send by themselves, one each
/// 96 ms by default. There a lost one doubles the silence. A node that is silent for 480 ms is suspected, so four may
/// be lost one after the other. Blocks the calling thread until all is measured; the work is done on threads of its
/// own.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer. A node that takes the other
/// for dead meanwhile is an error.
pub fn control(
    args: &ControlArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let settings = format!(
        "a thread per node, a heartbeat every {:?} each way, {} batches handed over at a time at each node",
        args.pace, args.batches
    );
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let harness = Harness::new(args.schedule, args.lost_percent.len() * args.sizes.len(), observer)?;
    let records = in_system(|| measure(args, harness))?;
    Ok(report.with(records))
}

async fn measure(args: &ControlArgs, mut harness: Harness<'_>) -> Result<Vec<Record>, BenchError> {
    for &lost in &args.lost_percent {
        let trouble = if lost > 0 { Trouble::LosesPercent(lost) } else { Trouble::Nothing };
        let uniform = |group: GroupSettings| group.order(Order::Uniform);
        let cluster = Arc::new(Cluster::start_with(2, trouble, uniform).await?);
        let measured = measure_pair(args, lost, &cluster, &mut harness).await;
        cluster.stop().await;
        measured?;
    }
    Ok(harness.into_records())
}

async fn measure_pair(
    args: &ControlArgs,
    lost: u8,
    cluster: &Arc<Cluster>,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    for &bytes in &args.sizes {
        let case = case(bytes, lost);
        let measured = async {
            let data = GroupFlow::new(cluster, cluster.members(), Load::new(bytes), args.batches);
            let mut loaded = Beats::new(Arc::clone(cluster), args.pace, Some(data));
            let mut idle = Beats::new(Arc::clone(cluster), args.pace, None);
            harness.compare(&case, &mut loaded, &mut idle).await
        };
        measured.await.map_err(|error| error.in_case(&case.name))?;
    }
    Ok(())
}

fn case(bytes: usize, lost: u8) -> Case {
    let loss = if lost > 0 { format!(", {lost} % lost") } else { String::new() };
    let below = |bound| Some(Bound::ValueBelow(bound));
    Case {
        bench: "control",
        name: format!("heartbeat beside {} messages{loss}", Size(bytes)),
        baseline_is: BASELINE_IS,
        readings: vec![
            (Reading::Quantile(0.5), None),
            (Reading::Quantile(0.99), None),
            (Reading::Quantile(0.999), below(WANTED_US)),
            (Reading::Quantile(1.0), None),
            (Reading::Silence(0.999), None),
            (Reading::Silence(1.0), below(Timing::DEFAULT.silence().as_micros() as f64)),
            (Reading::Lost, None),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> ControlArgs {
        ControlArgs {
            sizes: vec![1 << 10],
            schedule: Schedule {
                warm_up: Duration::from_millis(5),
                round: Duration::from_millis(400),
                rounds: 1,
            },
            ..ControlArgs::default()
        }
    }

    #[test]
    fn heartbeats_come_back_beside_data_and_idle_with_loss_and_without() {
        let mut measured = Vec::new();
        let mut observer = |progress| {
            if let Progress::Measured(record) = progress {
                measured.push(record);
            }
        };
        let report = control(&tiny(), &mut observer).expect("two nodes work");
        assert_eq!(measured, report.records);
        let cases: Vec<&str> = report.records.iter().map(|record| record.case.as_str()).collect();
        assert_eq!(cases.len(), 14);
        assert_eq!(cases[2], "heartbeat beside 1 KiB messages p99.9");
        assert_eq!(cases[10], "heartbeat beside 1 KiB messages, 1 % lost max");
        assert_eq!(cases[12], "heartbeat beside 1 KiB messages, 1 % lost silence max");
        for record in &report.records {
            let lost = record.case.ends_with("without an answer");
            assert!(lost || record.value > 0.0 && record.baseline > 0.0, "{record:?}");
            serde_json::from_str::<serde_json::Value>(&record.to_json()).expect("valid JSON");
        }
    }

    #[test]
    fn round_trips_are_below_a_quarter_of_the_detection_time_and_silences_below_what_is_suspected() {
        let wanted = |lost| {
            case(1 << 10, lost)
                .readings
                .into_iter()
                .filter_map(|(reading, wanted)| wanted.map(|wanted| (reading.name(), wanted)))
        };
        for lost in [0, 1] {
            let [(first, trips), (second, silences)] = &wanted(lost).collect::<Vec<_>>()[..] else {
                panic!("two wishes")
            };
            assert_eq!([first, second], ["p99.9", "silence max"]);
            assert_eq!([124_999.0, 125_000.0].map(|us| trips.holds(0.0, us)), [true, false]);
            assert_eq!([479_999.0, 480_000.0].map(|us| silences.holds(0.0, us)), [true, false]);
        }
    }

    #[test]
    fn what_is_not_measured_is_refused() {
        for refused in [
            ControlArgs { sizes: vec![0], ..tiny() },
            ControlArgs { lost_percent: vec![51], ..tiny() },
            ControlArgs { batches: 0, ..tiny() },
            ControlArgs { pace: Duration::ZERO, ..tiny() },
        ] {
            assert!(matches!(control(&refused, &mut |_| ()), Err(BenchError::Settings(_))));
        }
    }
}
