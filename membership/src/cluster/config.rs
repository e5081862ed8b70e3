//! The parameters of SWIM, derived from the detection time and the size of the cluster.

use std::{
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use foca::{Config, PeriodicParams};

use super::codec::DATAGRAM_BYTES_MAX;
use crate::Timing;

/// How long it is remembered that a node is down, and tried to reach it again.
pub(crate) const REMEMBER_DOWN: Duration = Duration::from_hours(24);

/// Whom to ask indirectly, and to gossip with: small constants suffice at any size.
///
/// Source: Das, Gupta and Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process Group
/// Membership Protocol", DSN 2002, section 4.
const PEERS_ASKED: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// How often each member of a cluster passes on what is new. Infection takes a number of rounds that is logarithmic in
/// the size, and leaves out one node of `e` to the power of this number: that one would hear of a death in the roll
/// call only, seconds later. Four for each digit of the size, and four more for the deaths of many at one time.
fn transmissions(digits: u8) -> NonZeroU8 {
    NonZeroU8::new(4 * (digits + 1)).unwrap_or(NonZeroU8::MAX)
}

/// Between two probes, each of another member.
pub(crate) fn probe_every(timing: Timing) -> Duration {
    timing.detect()
}

/// How long a probe's answer may take before it is sent again.
pub(crate) fn answer_within(timing: Timing) -> Duration {
    timing.detect() / 4
}

/// How long a direct answer may take before others are asked to probe too.
pub(crate) fn ask_others_after(timing: Timing) -> Duration {
    timing.detect() / 2
}

/// Between two rounds of gossip, while there is something to tell.
pub(crate) fn gossip_every(timing: Timing) -> Duration {
    timing.detect() / 5
}

/// Between two pages of the roll call, while they bring nothing new.
pub(crate) fn ask_every(timing: Timing) -> Duration {
    timing.detect() * 4
}

/// Between two attempts to reach some of those that are down.
pub(crate) fn retry_down_every(timing: Timing) -> Duration {
    timing.detect() * 20
}

/// Between two attempts to reach somebody while no other member is up, or one that was named.
pub(crate) fn seek_every(timing: Timing) -> Duration {
    timing.detect() * 2
}

/// How long a suspect has to hear of the suspicion and to refute it. A member of a small cluster hears it at once;
/// in any other both ways are gossip, which has gone through as many nodes as are kept in mind within ten rounds: each
/// makes those who know four times as many, and the last few are met by chance. So it need not grow with the size.
pub(crate) fn suspicion(timing: Timing, digits: u8) -> Duration {
    timing.detect() * 2 * u32::from(digits.min(2))
}

/// The decimal digits of a size, from one to twenty.
pub(super) fn digits(size: usize) -> u8 {
    size.checked_ilog10().map_or(1, |log| log as u8 + 1)
}

/// Derives the parameters for a cluster whose size has so many decimal digits.
pub(super) fn config(timing: Timing, digits: u8) -> Config {
    let every = |frequency, num_members| Some(PeriodicParams { frequency, num_members });
    Config {
        probe_period: probe_every(timing),
        probe_rtt: ask_others_after(timing),
        num_indirect_probes: PEERS_ASKED,
        max_transmissions: transmissions(digits),
        suspect_to_down_after: suspicion(timing, digits),
        remove_down_after: Some(REMEMBER_DOWN),
        max_packet_size: const { NonZeroUsize::new(DATAGRAM_BYTES_MAX).unwrap() },
        notify_down_members: true,
        // The roll call does what this is for.
        periodic_announce: None,
        // Ends a partition of which both sides have declared the other one down.
        periodic_announce_to_down_members: every(retry_down_every(timing), PEERS_ASKED),
        periodic_gossip: every(gossip_every(timing), PEERS_ASKED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_has_as_long_among_ten_nodes_as_among_ten_thousand() {
        let timing = Timing::DEFAULT;
        for size in [10, 100, 1_000, 10_000] {
            assert_eq!(suspicion(timing, digits(size)), timing.detect() * 4, "{size} nodes");
        }
        assert_eq!(suspicion(timing, digits(9)), timing.detect() * 2);
    }
}
