use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use foca::{Config, PeriodicParams};

use super::codec::DATAGRAM_BYTES_MAX;
use crate::Timing;

/// How long it is remembered that a node is down, and tried to reach it again: a day.
const REMEMBER_DOWN: Duration = Duration::from_hours(24);

/// Whom to ask indirectly, and to gossip with: small constants suffice at any size.
///
/// Source: Das, Gupta and Motivala, "SWIM: Scalable Weakly-consistent Infection-style Process Group
/// Membership Protocol", DSN 2002, section 4.
const PEERS_ASKED: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// Derives the parameters of SWIM: one probe a detection time, of which a quarter is granted to a
/// direct answer and the rest to an indirect one.
///
/// A suspect has two detection times, and two more for each decimal digit of the size beyond the
/// first, to hear of the suspicion and to refute it: gossip takes a number of rounds that is
/// logarithmic in the size.
pub(super) fn config(timing: Timing, expected_size: NonZeroU32) -> Config {
    let detect = timing.detect();
    let every = |frequency, num_members| Some(PeriodicParams { frequency, num_members });
    Config {
        probe_period: detect,
        probe_rtt: detect / 4,
        num_indirect_probes: PEERS_ASKED,
        max_transmissions: Config::new_lan(expected_size).max_transmissions,
        suspect_to_down_after: detect * 2 * (expected_size.ilog10() + 1),
        remove_down_after: Some(REMEMBER_DOWN),
        max_packet_size: const { NonZeroUsize::new(DATAGRAM_BYTES_MAX).unwrap() },
        notify_down_members: true,
        // Gossip is best effort: what it missed is learnt by asking somebody whom he knows.
        periodic_announce: every(detect * 4, NonZeroUsize::MIN),
        // Ends a partition of which both sides have declared the other one down.
        periodic_announce_to_down_members: every(detect * 20, PEERS_ASKED),
        periodic_gossip: every(detect / 5, PEERS_ASKED),
    }
}

/// Between two attempts to reach somebody while no other member is up.
pub(super) fn seek_every(timing: Timing) -> Duration {
    timing.detect() * 2
}
