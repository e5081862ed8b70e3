//! How messages of several groups hold each other up.

use std::{collections::BTreeSet, time::Duration};

use super::words::Arrival;
use crate::{
    measure::{Latencies, Sample},
    results::Summary,
};

/// Messages that were held up and come within this time of the one before were waiting for the same packet.
const TOGETHER: Duration = Duration::from_micros(500);

/// Finds messages that were held up: those that took half a round trip longer than the way takes, which is half
/// of the time that it takes at least to find a packet lost and send it again. Those that come together were held
/// up by one lost packet, which was of the group whose message was sent first; the others' groups lost nothing.
pub(super) fn hold_ups(mut arrivals: Vec<Arrival>, round_trip: Duration) -> Sample {
    arrivals.sort_by_key(|arrival| arrival.received);
    let mut latencies = Latencies::new();
    let messages = arrivals.len();
    let took = |arrival: &Arrival| arrival.received.saturating_sub(arrival.sent);
    for arrival in &arrivals {
        latencies.record(took(arrival));
    }
    arrivals.retain(|arrival| took(arrival) >= round_trip);
    let (mut by_others, mut groups) = (0, Vec::new());
    for together in arrivals.chunk_by(|one, next| next.received.saturating_sub(one.received) <= TOGETHER) {
        let lost = together.iter().min_by_key(|arrival| arrival.sent).map(|arrival| arrival.group);
        by_others += together.iter().filter(|arrival| Some(arrival.group) != lost).count();
        groups.push(together.iter().map(|arrival| arrival.group).collect::<BTreeSet<_>>().len() as f64);
    }
    Sample::HoldUps {
        latencies: latencies.into_histogram(),
        by_others_percent: 100.0 * by_others as f64 / messages.max(1) as f64,
        groups_at_a_time: Summary::of(groups).map(|summary| summary.median),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Reading;

    const ROUND_TRIP: Duration = Duration::from_millis(20);

    /// Messages as group, when sent and when received, in milliseconds.
    fn sample(arrivals: &[(u32, u64, u64)]) -> Sample {
        let at = Duration::from_millis;
        let arrival = |&(group, sent, received)| Arrival { group, sent: at(sent), received: at(received) };
        hold_ups(arrivals.iter().map(arrival).collect(), ROUND_TRIP)
    }

    #[test]
    fn on_one_stream_a_lost_packet_holds_up_all_groups() {
        // The packet with the first message was lost.
        let sample = sample(&[(1, 0, 35), (2, 5, 35), (3, 10, 35), (1, 15, 35), (2, 20, 35), (3, 25, 35)]);
        assert_eq!(sample.read(Reading::GroupsAtATime), Some(3.0));
        // The last two waited too, but hardly longer than the way takes.
        assert_eq!(sample.read(Reading::ByOthers), Some(100.0 * 2.0 / 6.0));
    }

    #[test]
    fn on_streams_of_their_own_it_holds_up_its_own_group() {
        let sample = sample(&[(1, 0, 35), (2, 5, 15), (3, 10, 20), (1, 15, 35), (2, 20, 30), (3, 25, 35)]);
        assert_eq!(sample.read(Reading::GroupsAtATime), Some(1.0));
        assert_eq!(sample.read(Reading::ByOthers), Some(0.0));
        assert!(sample.read(Reading::Quantile(1.0)).is_some_and(|max| (34_900.0..35_100.0).contains(&max)));
    }

    #[test]
    fn losses_one_after_the_other_are_told_apart() {
        let sample = sample(&[(1, 0, 35), (2, 5, 40), (3, 10, 50), (3, 20, 50)]);
        assert_eq!(sample.read(Reading::GroupsAtATime), Some(1.0));
        assert_eq!(sample.read(Reading::ByOthers), Some(0.0));
    }

    #[test]
    fn where_nothing_is_held_up_there_is_no_number_of_groups() {
        let sample = sample(&[(1, 0, 10), (2, 5, 15)]);
        assert_eq!(sample.read(Reading::GroupsAtATime), None);
        assert_eq!(sample.read(Reading::ByOthers), Some(0.0));
    }
}
