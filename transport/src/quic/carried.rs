//! What a way has carried lately.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

/// A rate is forgotten after as many to twice as many round trips in which the way was full (BBR, draft-cardwell-iccrg-
/// bbr-congestion-control, section 4.1.1.3, after ten), if packets were lost. If none were, the way may only have become
/// longer; what it carries would be less for that, then less may be on the way, and so on.
const ROUNDS: u32 = 10;

/// The shortest round trip is forgotten after as long to twice as long: BBR empties the way every ten seconds to see it.
const SHORTEST_FOR: Duration = Duration::from_secs(10);

/// A round trip counts for at least as long: a node at an end of the way that has other work waits so long for a turn, and
/// what is on the way to it meanwhile does not wait for the network.
const SHORTEST_LEAST: Duration = Duration::from_millis(2);

/// What a way has carried lately, at most.
///
/// How much arrived is counted from when a packet was sent to when it was acknowledged (delivery rate samples, draft-cheng-
/// iccrg-delivery-rate-estimation), so that acknowledgements that come in bunches look like no fast way.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    bytes: u64,
    /// When packets were sent that may be on the way, and what had arrived by then.
    sent: VecDeque<(Instant, u64)>,
    /// Most bytes per second, of the rounds that are counted and of the ten before.
    rates: [u64; 2],
    rounds: u32,
    lost: bool,
    /// A packet that was sent from then on ends a round.
    round_since: Option<Instant>,
    /// Shortest round trip since `shortest_since`, and in the time before.
    shortest: [Option<Duration>; 2],
    shortest_since: Option<Instant>,
}

impl Carried {
    pub(super) fn on_sent(&mut self, now: Instant) {
        if self.sent.back().is_none_or(|(at, _)| *at < now) {
            self.sent.push_back((now, self.bytes));
        }
    }

    /// A packet was acknowledged. `full` says that there was always more to send than was let out.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, full: bool) {
        self.bytes += bytes;
        let round_trip = now.saturating_duration_since(sent);
        self.note_round_trip(now, round_trip);
        while self.sent.get(1).is_some_and(|(at, _)| *at <= sent) {
            self.sent.pop_front();
        }
        let Some(&(_, before)) = self.sent.front().filter(|(at, _)| *at <= sent) else { return };
        if full && self.round_since.is_none_or(|since| sent >= since) {
            self.end_round(now);
        }
        let arrived = u128::from(self.bytes - before) * NANOS / round_trip.as_nanos().max(1);
        self.rates[0] = self.rates[0].max(arrived.try_into().unwrap_or(u64::MAX));
    }

    /// Packets were lost.
    pub(super) const fn on_loss(&mut self) {
        self.lost = true;
    }

    /// Bytes that the way has carried in the time of its shortest round trip, or in 2 ms if that is shorter; `None` while
    /// nothing is known.
    pub(super) fn in_a_round_trip(&self) -> Option<u64> {
        let shortest = self.shortest.iter().flatten().min()?.max(&SHORTEST_LEAST);
        let rate = self.rates.into_iter().max().filter(|rate| *rate > 0)?;
        (u128::from(rate) * shortest.as_nanos() / NANOS).try_into().ok()
    }

    fn end_round(&mut self, now: Instant) {
        self.round_since = Some(now);
        self.rounds += 1;
        if self.rounds >= ROUNDS && mem::take(&mut self.lost) {
            self.rounds = 0;
            self.rates = [0, self.rates[0]];
        }
    }

    fn note_round_trip(&mut self, now: Instant, round_trip: Duration) {
        if self.shortest_since.is_none_or(|since| now.saturating_duration_since(since) >= SHORTEST_FOR) {
            self.shortest_since = Some(now);
            self.shortest = [None, self.shortest[0]];
        }
        self.shortest[0] = Some(self.shortest[0].map_or(round_trip, |shortest| shortest.min(round_trip)));
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends a packet of 1000 bytes each ms, which is acknowledged 10 ms later, for so many round trips.
    fn run(carried: &mut Carried, from: Instant, round_trips: u32, full: bool) -> Instant {
        let last = 10 * round_trips;
        for at in 0..last + 10 {
            if at >= 10 {
                carried.on_ack(from + at * MS, from + (at - 10) * MS, 1000, full);
            }
            if at < last {
                carried.on_sent(from + at * MS);
            }
        }
        from + (last + 10) * MS
    }

    #[test]
    fn nothing_is_known_before_something_has_arrived() {
        let mut carried = Carried::default();
        assert_eq!(carried.in_a_round_trip(), None);
        carried.on_sent(Instant::now());
        assert_eq!(carried.in_a_round_trip(), None);
    }

    #[test]
    fn what_arrives_evenly_counts_as_it_is() {
        let mut carried = Carried::default();
        run(&mut carried, Instant::now(), 5, true);
        assert_eq!(carried.in_a_round_trip(), Some(10_000));
    }

    #[test]
    fn a_short_way_counts_as_long_as_a_node_waits_for_its_turn() {
        let (mut carried, now) = (Carried::default(), Instant::now());
        carried.on_sent(now);
        carried.on_ack(now + MS / 10, now, 1000, true);
        assert_eq!(carried.in_a_round_trip(), Some(20_000));
    }

    #[test]
    fn acknowledgements_in_bunches_look_like_no_fast_way() {
        let (mut carried, begun) = (Carried::default(), Instant::now());
        for at in 0..200_u32 {
            let now = begun + at * MS;
            carried.on_sent(now);
            if at >= 15 && at % 5 == 0 {
                // Those of 5 ms, the oldest of which waited for 4.
                for sent in at - 14..=at - 10 {
                    carried.on_ack(now, begun + sent * MS, 1000, true);
                }
            }
        }
        let most = carried.in_a_round_trip().expect("it arrived");
        assert!((10_000..=15_000).contains(&most), "{most}");
    }

    #[test]
    fn a_rate_is_forgotten_when_the_way_was_full_and_carried_less() {
        let (mut carried, begun) = (Carried::default(), Instant::now());
        for packet in 0..100 {
            carried.on_sent(begun + packet * MS / 10);
        }
        for packet in 0..100 {
            let sent = begun + packet * MS / 10;
            carried.on_ack(sent + 10 * MS, sent, 1000, true);
        }
        assert_eq!(carried.in_a_round_trip(), Some(100_000));
        let later = run(&mut carried, begun + 20 * MS, 100, true);
        assert_eq!(carried.in_a_round_trip(), Some(100_000), "nothing was lost");
        carried.on_loss();
        let later = run(&mut carried, later, 100, false);
        assert_eq!(carried.in_a_round_trip(), Some(100_000), "there was no more to carry");
        let later = run(&mut carried, later, 8, true);
        assert_eq!(carried.in_a_round_trip(), Some(100_000), "not yet");
        carried.on_loss();
        run(&mut carried, later, 12, true);
        assert_eq!(carried.in_a_round_trip(), Some(10_000));
    }

    #[test]
    fn a_shorter_round_trip_is_forgotten_after_a_while() {
        let (mut carried, begun) = (Carried::default(), Instant::now());
        run(&mut carried, begun, 5, true);
        for (after, most) in [(9, 1), (19, 1), (30, 2)] {
            let sent = begun + Duration::from_secs(after);
            carried.on_sent(sent);
            carried.on_ack(sent + 20 * MS, sent, 1, false);
            assert_eq!(carried.in_a_round_trip(), Some(most * 10_000), "after {after} s");
        }
    }
}
