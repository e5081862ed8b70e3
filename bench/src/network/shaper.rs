//! One direction of a link with a rate, a queue, a delay and losses, on a clock that is handed in.

use std::{collections::VecDeque, ops::AddAssign, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// What one direction of a link is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    /// Bytes of IP packets that go through in a second.
    pub(super) bytes_per_second: u64,
    /// From when a packet has left until it arrives.
    pub(super) delay: Duration,
    /// Of a hundred packets so many do not arrive, each by its own chance. They take their time on the link.
    pub(super) lost_percent: u8,
    /// Bytes that may wait for the link; a packet that comes while more wait is dropped.
    pub(super) queue_bytes: u64,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    /// Packets that were given out.
    pub(super) arrived: u64,
    /// Packets that were lost by chance.
    pub(super) lost: u64,
    /// Packets for which the queue had no room.
    pub(super) dropped: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.arrived += more.arrived;
        self.lost += more.lost;
        self.dropped += more.dropped;
    }
}

/// Says when each packet arrives, if it does.
///
/// Invariants: packets are given out in the order in which they were offered, none before the delay is over, and
/// of packets that are offered in time no more in any span than the rate allows.
#[derive(Debug)]
pub(super) struct Shaper<P> {
    shape: Shape,
    chance: SmallRng,
    /// When all packets before have left.
    free_at: Duration,
    on_the_way: VecDeque<(Duration, P)>,
    tally: Tally,
}

impl<P: AsRef<[u8]>> Shaper<P> {
    /// A link that is idle at time zero. Equal seeds lose equal packets.
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        let chance = SmallRng::seed_from_u64(seed);
        Self { shape, chance, free_at: Duration::ZERO, on_the_way: VecDeque::new(), tally: Tally::default() }
    }

    /// Takes in a packet that came after `since`. Gives it back if it will not arrive.
    ///
    /// Who looks late, because others have the processor, costs the link nothing of its rate: what came meanwhile
    /// has begun to leave meanwhile. Its delay counts from now on.
    pub(super) fn offer(&mut self, since: Duration, now: Duration, packet: P) -> Option<P> {
        self.free_at = self.free_at.max(since);
        if self.free_at.saturating_sub(now) > self.time_of(self.shape.queue_bytes) {
            self.tally.dropped += 1;
            return Some(packet);
        }
        self.free_at += self.time_of(packet.as_ref().len() as u64);
        if self.shape.lost_percent > 0 && self.chance.random_range(0..100) < self.shape.lost_percent {
            self.tally.lost += 1;
            return Some(packet);
        }
        self.on_the_way.push_back((self.free_at.max(now) + self.shape.delay, packet));
        None
    }

    /// The next packet that has arrived by now.
    pub(super) fn due(&mut self, now: Duration) -> Option<P> {
        let (_, packet) = self.on_the_way.pop_front_if(|(due, _)| *due <= now)?;
        self.tally.arrived += 1;
        Some(packet)
    }

    /// When the next packet arrives; `None` if none is on the way.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.on_the_way.front().map(|(due, _)| *due)
    }

    /// What became of the packets so far.
    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// How long the link takes for so many bytes.
    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_nanos(
            (u128::from(bytes) * 1_000_000_000 / u128::from(self.shape.bytes_per_second)) as u64,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const NOW: Duration = Duration::ZERO;

    /// A packet of 1000 bytes takes 1 ms, and 3 may wait behind the one that is leaving.
    const SHAPE: Shape = Shape {
        bytes_per_second: 1_000_000,
        delay: Duration::from_millis(10),
        lost_percent: 0,
        queue_bytes: 3_000,
    };

    fn packet(number: u8) -> Vec<u8> {
        vec![number; 1000]
    }

    /// Waits for whatever is still on the way; returns when each packet arrived.
    fn drain(shaper: &mut Shaper<Vec<u8>>) -> Vec<(Duration, u8)> {
        let mut arrived = Vec::new();
        while let Some(now) = shaper.next_due() {
            assert_eq!(shaper.due(now.saturating_sub(Duration::from_nanos(1))), None, "not before it is due");
            arrived.extend(shaper.due(now).map(|packet| (now, packet[0])));
        }
        arrived
    }

    #[test]
    fn packets_arrive_in_order_at_the_rate_of_the_link_after_the_delay() {
        let mut shaper = Shaper::new(SHAPE, 1);
        for number in 0..3 {
            assert_eq!(shaper.offer(5 * MS, 5 * MS, packet(number)), None);
        }
        assert_eq!(shaper.offer(20 * MS, 20 * MS, packet(3)), None);
        assert_eq!(drain(&mut shaper), [(16 * MS, 0), (17 * MS, 1), (18 * MS, 2), (31 * MS, 3)]);
        assert_eq!(shaper.tally(), Tally { arrived: 4, ..Tally::default() });
    }

    #[test]
    fn the_queue_drops_the_last_and_takes_again_what_comes_when_there_is_room() {
        let mut shaper = Shaper::new(SHAPE, 1);
        let refused: Vec<u8> =
            (0..7).filter_map(|number| shaper.offer(NOW, NOW, packet(number)).map(|it| it[0])).collect();
        assert_eq!(refused, [4, 5, 6]);
        assert_eq!(shaper.offer(MS, MS, packet(7)), None, "one has left");
        assert_eq!(drain(&mut shaper).iter().map(|(_, number)| *number).collect::<Vec<_>>(), [0, 1, 2, 3, 7]);
        assert_eq!(shaper.tally(), Tally { arrived: 5, lost: 0, dropped: 3 });
    }

    #[test]
    fn as_many_packets_are_lost_as_is_said_and_the_same_with_the_same_seed() {
        let lost = |seed| {
            let mut shaper = Shaper::new(Shape { lost_percent: 10, ..SHAPE }, seed);
            let lost: Vec<u32> = (0..10_000)
                .filter(|number| shaper.offer(*number * MS, *number * MS, packet(0)).is_some())
                .collect();
            assert_eq!(shaper.tally().lost, lost.len() as u64);
            lost
        };
        let first = lost(1);
        assert!((900..1100).contains(&first.len()), "{}", first.len());
        assert_eq!(first, lost(1));
        assert_ne!(first, lost(2));
    }

    #[test]
    fn a_lost_packet_has_taken_its_time_on_the_link() {
        let mut shaper = Shaper::new(Shape { lost_percent: 100, ..SHAPE }, 1);
        assert!(shaper.offer(NOW, NOW, packet(0)).is_some());
        shaper.shape.lost_percent = 0;
        assert_eq!(shaper.offer(NOW, NOW, packet(1)), None);
        assert_eq!(drain(&mut shaper), [(12 * MS, 1)]);
    }

    #[test]
    fn who_looks_late_loses_none_of_the_rate_and_none_of_the_delay() {
        let mut shaper = Shaper::new(SHAPE, 1);
        // They came one by one in the last 2 ms, and are all found now.
        for number in 0..6 {
            assert_eq!(shaper.offer(98 * MS, 100 * MS, packet(number)), None, "the queue is not that full");
        }
        let arrived = drain(&mut shaper);
        assert_eq!(
            arrived.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [110, 110, 111, 112, 113, 114].map(|n| n * MS)
        );
        // Nothing came for a long time: that is lost.
        for number in 6..8 {
            assert_eq!(shaper.offer(200 * MS, 200 * MS, packet(number)), None);
        }
        assert_eq!(drain(&mut shaper), [(211 * MS, 6), (212 * MS, 7)]);
    }

    #[test]
    fn in_the_long_run_no_more_goes_through_than_the_rate_allows() {
        let mut shaper = Shaper::new(SHAPE, 1);
        for tenth in 0..10_000_u32 {
            let since = tenth.saturating_sub(20) * MS / 10;
            shaper.offer(since, tenth * MS / 10, packet(0));
        }
        // A second of packets that are offered ten times as fast, and what waits at its end.
        let last = drain(&mut shaper).last().map(|(at, _)| *at).expect("most arrived");
        assert!((1000..=1005).contains(&shaper.tally().arrived), "{:?}", shaper.tally());
        assert!(last > 1000 * MS && last < 1020 * MS, "{last:?}");
    }
}
