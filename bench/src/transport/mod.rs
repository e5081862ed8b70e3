//! Links beside bare quinn: throughput of frames, and round trips.

mod echo;
mod flow;
mod kind;
mod pair;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::kind::{NotATransport, TransportKind};
use self::{echo::LinkEcho, flow::LinkFlow, pair::Pair};
pub(crate) use self::{
    echo::{Ends, ask_until},
    flow::{Framing, count, frame, send_until},
    pair::{CLUSTER, bind, hello},
};
use crate::{
    BenchError, Bound, Machine, Progress, Record, Report, Schedule,
    measure::{Case, Harness, Load, Reading},
    places::{Stage, on_own_thread},
    raw::{RAW_QUINN, RawEcho, RawSpread},
    results::Size,
};

/// What the benchmark of transports measures.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransportArgs {
    /// The transports. Default: all.
    pub transports: Vec<TransportKind>,
    /// Bytes of the frames whose throughput is measured. Default 64, 1 KiB, 16 KiB, 64 KiB.
    pub sizes: Vec<usize>,
    /// Bytes of the frames that go to and fro. Default 64.
    pub round_trip_sizes: Vec<usize>,
    /// How long and how often.
    pub schedule: Schedule,
}

impl Default for TransportArgs {
    fn default() -> Self {
        Self {
            transports: TransportKind::ALL.into(),
            sizes: vec![64, 1 << 10, 16 << 10, 64 << 10],
            round_trip_sizes: vec![64],
            schedule: Schedule::default(),
        }
    }
}

/// Most bytes of a frame: one that is put together from parts is another case.
const FRAME_BYTES_MAX: usize = 1 << 20;

impl TransportArgs {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        for &bytes in self.sizes.iter().chain(&self.round_trip_sizes) {
            if bytes == 0 || bytes > FRAME_BYTES_MAX {
                return Err(BenchError::Settings(format!(
                    "a frame of {bytes} bytes is not measured: choose 1 to {FRAME_BYTES_MAX}"
                )));
            }
        }
        Ok(())
    }
}

/// The threads of the benchmark, set up before and taken down after all asynchronous work.
struct Stages {
    /// Both nodes of a throughput case share all cores.
    shared: Arc<Stage>,
    /// Round trips with both nodes on one thread show what our code costs.
    one: Arc<Stage>,
    /// Round trips between threads show it beside the cost of waking one, as between machines.
    each: Arc<Stage>,
}

/// Measures links beside bare quinn. Blocks the calling thread until all is measured; the work is
/// done on threads of its own.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn transport(
    args: &TransportArgs,
    observer: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, BenchError> {
    args.check()?;
    let machine = Machine::here();
    let workers = machine.cores.max(2);
    let settings = format!("throughput on {workers} threads for both nodes, batches of up to 64 KiB");
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let stages = Stages {
        shared: Arc::new(Stage::shared(workers)?),
        one: Arc::new(Stage::shared(1)?),
        each: Arc::new(Stage::thread_each(2)?),
    };
    let framed: usize = args.sizes.iter().map(|&bytes| framings(bytes).len()).sum();
    let cases = args.transports.len() * (framed + 2 * args.round_trip_sizes.len());
    let harness = Harness::new(args.schedule, cases, observer)?;
    let records = on_own_thread(|| measure(args, &stages, harness))?;
    Ok(report.with(records))
}

async fn measure(
    args: &TransportArgs,
    stages: &Stages,
    mut harness: Harness<'_>,
) -> Result<Vec<Record>, BenchError> {
    for &kind in &args.transports {
        for &bytes in &args.sizes {
            for &framing in framings(bytes) {
                let case = throughput_case(kind, bytes, framing);
                let load = Load::new(bytes);
                let measured = throughput(kind, load, framing, &stages.shared, &case, &mut harness).await;
                measured.map_err(|error| error.in_case(&case.name))?;
            }
        }
        for &bytes in &args.round_trip_sizes {
            for (stage, threads) in [(&stages.one, "one thread"), (&stages.each, "two threads")] {
                let case = round_trip_case(kind, bytes, threads);
                let measured = round_trips(kind, Load::new(bytes), stage, &case, &mut harness).await;
                measured.map_err(|error| error.in_case(&case.name))?;
            }
        }
    }
    Ok(harness.into_records())
}

async fn throughput(
    kind: TransportKind,
    load: Load,
    framing: Framing,
    stage: &Arc<Stage>,
    case: &Case,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    let mut raw = RawSpread::new(stage, 2, 1, load.clone()).await?;
    let mut ours = LinkFlow::new(Pair::new(stage, kind).await?, load, framing).await?;
    harness.compare(case, &mut ours, &mut raw).await
}

async fn round_trips(
    kind: TransportKind,
    load: Load,
    stage: &Arc<Stage>,
    case: &Case,
    harness: &mut Harness<'_>,
) -> Result<(), BenchError> {
    let mut raw = RawEcho::new(stage, load.clone(), None).await?;
    let mut ours = LinkEcho::new(Pair::new(stage, kind).await?, load).await?;
    harness.compare(case, &mut ours, &mut raw).await
}

/// Short messages are put into frames in either way: one by one, and as groups and the bus do it.
pub(crate) fn framings(bytes: usize) -> &'static [Framing] {
    if bytes <= 1 << 10 { &[Framing::Single, Framing::Bundles] } else { &[Framing::Single] }
}

pub(crate) fn throughput_case(kind: TransportKind, bytes: usize, framing: Framing) -> Case {
    let reading = Reading::throughput_of(bytes);
    // Long frames cost what their bytes cost; short ones cost what we do with each.
    let wanted = match bytes {
        _ if kind != TransportKind::Quic => None,
        bytes if bytes >= 64 << 10 => Some(Bound::AtLeast(0.9)),
        bytes if bytes <= 1 << 10 => Some(Bound::AtLeast(0.7)),
        _ => None,
    };
    Case {
        bench: "transport",
        name: match framing {
            Framing::Single => format!("{kind} {}", Size(bytes)),
            Framing::Bundles => format!("{kind} {} in bundles,", Size(bytes)),
        },
        baseline_is: RAW_QUINN,
        readings: vec![(reading, wanted)],
    }
}

pub(crate) fn round_trip_case(kind: TransportKind, bytes: usize, threads: &str) -> Case {
    let wanted = (kind == TransportKind::Quic).then_some(Bound::AtMost(1.3));
    Case {
        bench: "transport",
        name: format!("{kind} {} round trip, {threads},", Size(bytes)),
        baseline_is: RAW_QUINN,
        readings: vec![(Reading::Quantile(0.5), wanted), (Reading::Quantile(0.99), None)],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_transport_gives_a_figure_for_each_size_and_the_lines_are_json() {
        let args = TransportArgs {
            sizes: vec![64, 64 << 10],
            round_trip_sizes: vec![64],
            schedule: Schedule {
                warm_up: Duration::from_millis(2),
                round: Duration::from_millis(4),
                rounds: 1,
            },
            ..TransportArgs::default()
        };
        let mut measured = Vec::new();
        let mut observer = |progress| {
            if let Progress::Measured(record) = progress {
                measured.push(record);
            }
        };
        let report = transport(&args, &mut observer).expect("all transports work");

        assert_eq!(measured, report.records);
        assert_eq!(report.records.len(), TransportKind::ALL.len() * 7);
        for record in &report.records {
            assert!(record.value > 0.0 && record.baseline > 0.0, "{record:?}");
            assert_eq!(record.holds.is_some(), record.wanted.is_some());
            let json: serde_json::Value = serde_json::from_str(&record.to_json()).expect("valid JSON");
            for field in ["bench", "case", "value", "unit", "baseline", "ratio", "wanted", "holds"] {
                assert!(json.get(field).is_some(), "{field} is missing in {json}");
            }
        }
    }

    #[test]
    fn what_is_wanted_depends_on_the_transport_and_the_frame() {
        let wanted = |kind, bytes, framing| throughput_case(kind, bytes, framing).readings[0];
        let quic = |bytes| wanted(TransportKind::Quic, bytes, Framing::Single);
        assert_eq!(quic(64 << 10), (Reading::Bytes, Some(Bound::AtLeast(0.9))));
        assert_eq!(quic(16 << 10), (Reading::Bytes, None));
        assert_eq!(quic(1 << 10), (Reading::Messages, Some(Bound::AtLeast(0.7))));
        assert_eq!(quic(64), (Reading::Messages, Some(Bound::AtLeast(0.7))));
        assert_eq!(wanted(TransportKind::Quic, 64, Framing::Bundles), quic(64));
        assert_eq!(wanted(TransportKind::Tcp, 64 << 10, Framing::Single).1, None);
        assert_eq!(wanted(TransportKind::Memory, 64, Framing::Single).1, None);

        let round_trip = |kind| round_trip_case(kind, 64, "two threads").readings;
        let median = (Reading::Quantile(0.5), Some(Bound::AtMost(1.3)));
        assert_eq!(round_trip(TransportKind::Quic), [median, (Reading::Quantile(0.99), None)]);
        assert!(round_trip(TransportKind::Tcp).iter().all(|(_, wanted)| wanted.is_none()));
    }

    #[test]
    fn a_frame_that_is_not_measured_is_refused() {
        let args = TransportArgs { sizes: vec![0], ..TransportArgs::default() };
        assert!(matches!(transport(&args, &mut |_| ()), Err(BenchError::Settings(_))));
    }
}
