//! Packets that are lost below a transport.

use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// Loses packets where they arrive, each by its own chance, as a bad network does: below QUIC, which has to find
/// out and send again. See [`QuicTransport::bind_lossy`](crate::QuicTransport::bind_lossy).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PacketLoss {
    /// Of a hundred packets so many are lost; above a hundred is all.
    pub percent: u8,
    /// Equal seeds lose equal packets of those that arrive.
    pub seed: u64,
}

/// Decides packet by packet.
#[derive(Debug)]
pub(crate) struct Losses {
    percent: u8,
    chance: SmallRng,
}

impl Losses {
    pub(crate) fn new(PacketLoss { percent, seed }: PacketLoss) -> Self {
        Self { percent, chance: SmallRng::seed_from_u64(seed) }
    }

    fn takes_one(&mut self) -> bool {
        self.chance.random_range(0..100) < self.percent
    }

    /// Takes what is lost out of packets that follow each other, each of `stride` bytes but for the last, which may
    /// be shorter. Returns how many bytes are left.
    pub(crate) fn thin(&mut self, packets: &mut [u8], stride: usize) -> usize {
        let mut kept = 0;
        for start in (0..packets.len()).step_by(stride.max(1)) {
            if !self.takes_one() {
                let end = packets.len().min(start + stride.max(1));
                packets.copy_within(start..end, kept);
                kept += end - start;
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thinned(percent: u8, packets: &[u8]) -> Vec<u8> {
        let mut packets = packets.to_vec();
        let kept = Losses::new(PacketLoss { percent, seed: 1 }).thin(&mut packets, 2);
        packets[..kept].to_vec()
    }

    #[test]
    fn all_none_or_whole_packets_are_lost() {
        assert_eq!(thinned(0, b"aabbc"), b"aabbc");
        assert_eq!(thinned(100, b"aabbc"), b"");
        let many: Vec<u8> = (0..200).flat_map(|number| [number, number]).collect();
        let left = thinned(50, &many);
        assert!((100..300).contains(&left.len()), "about half of them: {}", left.len());
        assert!(left.chunks(2).all(|packet| packet[0] == packet[1]) && left.is_sorted());
    }

    #[test]
    fn a_share_of_many_is_lost() {
        let mut losses = Losses::new(PacketLoss { percent: 1, seed: 7 });
        let lost = (0..100_000).filter(|_| losses.takes_one()).count();
        assert!((800..1_200).contains(&lost), "{lost}");
    }

    #[test]
    fn nothing_is_taken_from_nothing() {
        assert_eq!(Losses::new(PacketLoss::default()).thin(&mut [], 0), 0);
    }
}
