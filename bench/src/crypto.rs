//! What encryption costs: bare quinn with the cipher that quorate chose, beside what it could have
//! chosen.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    BenchError, Machine, Progress, Record, Report, Schedule,
    measure::{Case, Harness, Load, MESSAGE_BYTES_MAX, Reading, check_sizes},
    places::{Stage, on_own_thread},
    raw::{Cipher, RawSpread, Tuning},
    results::Size,
};

/// What the benchmark of ciphers measures.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CryptoArgs {
    /// Bytes of the messages whose throughput is measured. Default 1 KiB and 64 KiB.
    pub sizes: Vec<usize>,
    /// How long and how often.
    pub schedule: Schedule,
}

impl Default for CryptoArgs {
    fn default() -> Self {
        Self { sizes: vec![1 << 10, 64 << 10], schedule: Schedule::default() }
    }
}

/// Measures bare quinn from one node to another with the cipher that quorate's connections prefer,
/// beside the other ciphers of TLS 1.3 and, with the feature `ring`, beside ring. Blocks the calling
/// thread until all is measured; the work is done on threads of its own.
///
/// # Errors
/// [`BenchError`]: what was measured before it is known to the observer.
pub fn crypto(args: &CryptoArgs, observer: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, BenchError> {
    check_sizes(&args.sizes, 1..=MESSAGE_BYTES_MAX)?;
    let machine = Machine::here();
    let workers = machine.cores.max(2);
    let settings = format!("ours: bare quinn with {}, {workers} threads for both nodes", Cipher::CHOSEN);
    let report = Report::begin(machine, Some(args.schedule), settings, observer);
    let stage = Arc::new(Stage::shared(workers)?);
    let harness = Harness::new(args.schedule, args.sizes.len() * Cipher::OTHERS.len(), observer)?;
    let records = on_own_thread(|| measure(args, &stage, harness))?;
    Ok(report.with(records))
}

async fn measure(
    args: &CryptoArgs,
    stage: &Arc<Stage>,
    mut harness: Harness<'_>,
) -> Result<Vec<Record>, BenchError> {
    for &bytes in &args.sizes {
        for &other in Cipher::OTHERS {
            let case = case(bytes, other);
            let measured = async {
                let load = Load::new(bytes);
                let mut chosen = RawSpread::with(Tuning::CHOSEN, stage, 2, 1, load.clone()).await?;
                let mut other = RawSpread::with(Tuning::ciphered(other), stage, 2, 1, load).await?;
                harness.compare(&case, &mut chosen, &mut other).await
            };
            measured.await.map_err(|error| error.in_case(&case.name))?;
        }
    }
    Ok(harness.into_records())
}

fn case(bytes: usize, other: Cipher) -> Case {
    Case {
        bench: "crypto",
        name: format!("{} beside {other}", Size(bytes)),
        baseline_is: "the same with the other cipher",
        readings: vec![(Reading::throughput_of(bytes), None)],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_other_cipher_gives_a_figure_for_each_size() {
        let (warm_up, round) = (Duration::from_millis(2), Duration::from_millis(4));
        let args = CryptoArgs { sizes: vec![64, 64 << 10], schedule: Schedule { warm_up, round, rounds: 1 } };
        let report = crypto(&args, &mut |_| ()).expect("all ciphers work");
        assert_eq!(report.records.len(), 2 * Cipher::OTHERS.len());
        assert!(report.records.iter().all(|record| record.value > 0.0 && record.baseline > 0.0));
        let refused = CryptoArgs { sizes: vec![0], ..args };
        assert!(matches!(crypto(&refused, &mut |_| ()), Err(BenchError::Settings(_))));
    }
}
