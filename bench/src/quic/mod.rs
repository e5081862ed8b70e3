//! What each setting of QUIC gives: bare quinn as it was chosen, beside the same but for one thing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    BenchError, Machine, Progress, Record, Report, Schedule,
    measure::{Case, Harness, Load, MESSAGE_BYTES_MAX, Reading, check_sizes},
    places::{Stage, on_own_thread},
    raw::{Other, RawBeside, RawConnect, RawSpread, Resumption, Tuning, allowed_buffer_bytes},
    results::Size,
};

/// What the benchmark of QUIC's settings measures.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuicArgs {
    /// Bytes of the messages whose throughput is measured. Default 1 KiB and 64 KiB.
    pub sizes: Vec<usize>,
    /// How long and how often.
    pub schedule: Schedule,
}

impl Default for QuicArgs {
    fn default() -> Self {
        Self { sizes: vec![1 << 10, 64 << 10], schedule: Schedule::default() }
    }
}

const RESUMED: [(Resumption, &str); 2] =
    [(Resumption::Ticket, "resumed with a ticket"), (Resumption::ZeroRtt, "resumed, first byte sent along")];

/// Bytes of the message whose round trip is measured beside others.
const ROUND_TRIP_BYTES: usize = 64;

/// Why there is no figure of larger buffers.
const DENIED: &str = "the system allows no buffers of that size";

/// Measures bare quinn from one node to another with the settings that quorate's links have between nodes on one
/// machine, beside the same but for one of them; a round trip on streams that go ahead of a full one, beside the same in
/// turns with it; and how long a new connection takes until its first byte is back, beside one that is resumed. Between
/// machines links have BBR and larger windows, which the benchmark of networks measures. Blocks the calling thread until all is measured; the work is done on threads of its own.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn quic(args: &QuicArgs, observer: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, BenchError> {
    check_sizes(&args.sizes, 1..=MESSAGE_BYTES_MAX)?;
    let machine = Machine::here();
    let workers = machine.cores.max(2);
    let settings =
        format!("ours: bare quinn as links on one machine are set, {workers} threads for both nodes");
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let stages = [Arc::new(Stage::shared(workers)?), Arc::new(Stage::thread_each(2)?)];
    let cases = args.sizes.len() * Other::ALL.len() + 1 + RESUMED.len();
    let harness = Harness::new(args.schedule, cases, observer)?;
    let records = on_own_thread(|| measure(args, &stages, harness))?;
    Ok(report.with(records))
}

async fn measure(
    args: &QuicArgs,
    [shared, each]: &[Arc<Stage>; 2],
    mut harness: Harness<'_>,
) -> Result<Vec<Record>, BenchError> {
    for &bytes in &args.sizes {
        for other in Other::ALL {
            let reading = Reading::throughput_of(bytes);
            let case = case(format!("{} beside {other}", Size(bytes)), "the same but for this", reading);
            if is_denied(other)? {
                harness.leave_out(&case, DENIED);
                continue;
            }
            let measured = async {
                let load = Load::new(bytes);
                let mut chosen = RawSpread::with(Tuning::CHOSEN, shared, 2, 1, load.clone()).await?;
                let mut other = RawSpread::with(Tuning::but(other), shared, 2, 1, load).await?;
                harness.compare(&case, &mut chosen, &mut other).await
            };
            measured.await.map_err(|error| error.in_case(&case.name))?;
        }
    }
    let ahead = Case {
        name: format!(
            "{} round trip ahead of a full stream, beside in turns with it,",
            Size(ROUND_TRIP_BYTES)
        ),
        baseline_is: "the same with equal priorities",
        readings: vec![(Reading::Quantile(0.5), None), (Reading::Quantile(0.99), None)],
        bench: "quic",
    };
    let measured = async {
        let mut first = RawBeside::new(each, Load::new(ROUND_TRIP_BYTES), 1).await?;
        let mut equal = RawBeside::new(each, Load::new(ROUND_TRIP_BYTES), 0).await?;
        harness.compare(&ahead, &mut first, &mut equal).await
    };
    measured.await.map_err(|error| error.in_case(&ahead.name))?;
    for (resumption, name) in RESUMED {
        let case =
            case(format!("new connection beside one {name},"), "the same, resumed", Reading::Quantile(0.5));
        let measured = async {
            let mut full = RawConnect::new(each, Resumption::None).await?;
            let mut resumed = RawConnect::new(each, resumption).await?;
            harness.compare(&case, &mut full, &mut resumed).await
        };
        measured.await.map_err(|error| error.in_case(&case.name))?;
    }
    Ok(harness.into_records())
}

/// Whether the system does not let quinn have such a setting.
fn is_denied(other: Other) -> Result<bool, BenchError> {
    let Other::Buffers(bytes) = other else { return Ok(false) };
    Ok(allowed_buffer_bytes(bytes)? < bytes)
}

fn case(name: String, baseline_is: &'static str, reading: Reading) -> Case {
    Case { bench: "quic", name, baseline_is, readings: vec![(reading, None)] }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_setting_gives_a_figure_and_so_do_connections() {
        let (warm_up, round) = (Duration::from_millis(2), Duration::from_millis(4));
        let args = QuicArgs { sizes: vec![1 << 10], schedule: Schedule { warm_up, round, rounds: 1 } };
        let report = quic(&args, &mut |_| ()).expect("all settings work");
        assert_eq!(report.records.len(), Other::ALL.len() + 2 + RESUMED.len());
        for record in &report.records {
            // Whether large buffers can be had is the system's business.
            let denied = record.case.contains("buffers of 16 MiB") && record.baseline_is == DENIED;
            assert!(denied || record.value > 0.0 && record.baseline > 0.0, "{record:?}");
        }
        assert!(report.records.iter().any(|record| record.case.contains("ahead of a full stream")));
        let refused = QuicArgs { sizes: vec![0], ..args };
        assert!(matches!(quic(&refused, &mut |_| ()), Err(BenchError::Settings(_))));
    }
}
