//! What several benchmarks refuse to measure.

use std::{ops::RangeInclusive, time::Duration};

use super::load::STAMPED_BYTES_MIN;
use crate::BenchError;

/// Longer messages measure how they are put together.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The least packet that every way of QUIC must carry, with the headers of IP and UDP.
#[cfg(target_os = "linux")]
const MTU_LEAST: u16 = 1280;

/// Refuses messages of other lengths.
pub(crate) fn check_sizes<'a>(
    sizes: impl IntoIterator<Item = &'a usize>,
    measured: RangeInclusive<usize>,
) -> Result<(), BenchError> {
    let (least, most) = (measured.start(), measured.end());
    match sizes.into_iter().find(|bytes| !measured.contains(*bytes)) {
        Some(bytes) => refuse(format!("{bytes} bytes are not measured: choose {least} to {most}")),
        None => Ok(()),
    }
}

/// Refuses messages that are longer, or carry no time from which their latency counts.
pub(crate) fn check_latency_sizes(sizes: &[usize], most: usize) -> Result<(), BenchError> {
    let least = STAMPED_BYTES_MIN;
    match sizes.iter().find(|bytes| !(least..=most).contains(*bytes)) {
        Some(bytes) => {
            refuse(format!("the latency of {bytes} bytes is not measured: choose {least} to {most}"))
        }
        None => Ok(()),
    }
}

/// Refuses a group without load, and one that is paced by nothing.
pub(crate) fn check_pace(batches: usize, pace: Duration) -> Result<(), BenchError> {
    if batches == 0 || pace.is_zero() {
        return refuse("at least one message must be on its way, and some time between two".into());
    }
    Ok(())
}

/// Refuses losses of which too little is left.
pub(crate) fn check_lost(percents: &[u8]) -> Result<(), BenchError> {
    match percents.iter().find(|lost| **lost > 50) {
        Some(lost) => refuse(format!("{lost} % lost leave too little to measure: choose 0 to 50")),
        None => Ok(()),
    }
}

/// Refuses links whose longest packets are too short for QUIC.
#[cfg(target_os = "linux")]
pub(crate) fn check_mtus(mtus: &[u16]) -> Result<(), BenchError> {
    match mtus.iter().find(|mtu| **mtu < MTU_LEAST) {
        Some(mtu) => refuse(format!("QUIC needs packets of {MTU_LEAST} bytes, not {mtu}")),
        None => Ok(()),
    }
}

fn refuse(why: String) -> Result<(), BenchError> {
    Err(BenchError::Settings(why))
}
