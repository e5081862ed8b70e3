//! Readers of a bound group at nodes that do not carry it: each reads at one carrier after the other,
//! and goes on behind what it has seen.

use quorate_membership::Member;
use quorate_protocols::bus::Position;
use rand::RngExt;

use super::{World, network::What};

/// Where somebody reads: at which member, the entry there that comes next, and how often the history
/// there had begun anew.
#[derive(Clone, Copy, Debug)]
struct Place {
    life: Member,
    cursor: u64,
    beginnings: u64,
}

/// A reader from afar.
#[derive(Debug, Default)]
pub(super) struct Reader {
    at: Option<Place>,
    /// The last position that it has seen.
    seen: Option<Position>,
}

impl World {
    pub(super) fn step_reader(&mut self, index: usize) {
        self.soon(1_000..80_000, What::Reader(index));
        let id = self.published_group();
        let stays = self.readers[index].at.is_some_and(|place| self.runs(place.life));
        if !stays || self.rng.random_range(0..50) == 0 {
            self.readers[index].at = self.some_carrier().and_then(|life| self.begin_reading(index, life));
        }
        let Some(mut place) = self.readers[index].at else { return };
        if self.nodes[&place.life.node].pauses > 0 {
            return;
        }
        for _ in 0..self.rng.random_range(1..20) {
            let Some(bound) = self.bound(place.life, id) else { return };
            let missed = std::mem::replace(&mut place.beginnings, bound.beginnings) != bound.beginnings;
            let next = bound.history.get(place.cursor).map(|entry| entry.map(|(position, _)| position));
            if missed || next.is_err() {
                self.bus.clients.on_gap(index);
            }
            match next {
                Err(dropped) => place.cursor += dropped,
                Ok(None) => break,
                Ok(Some(position)) => {
                    place.cursor += 1;
                    self.read_afar(index, position);
                }
            }
        }
        self.readers[index].at = Some(place);
    }

    /// Goes on at this member behind what was seen.
    fn begin_reading(&mut self, index: usize, life: Member) -> Option<Place> {
        let (id, seen) = (self.published_group(), self.readers[index].seen);
        let bound = self.bound(life, id)?;
        let found = seen.map(|position| bound.history.after(position));
        let place = Place {
            life,
            cursor: found.map_or_else(|| bound.history.end(), |found| found.cursor),
            beginnings: bound.beginnings,
        };
        if found.is_none_or(|found| found.gap) {
            self.bus.clients.on_gap(index);
        }
        Some(place)
    }

    fn read_afar(&mut self, index: usize, position: Position) {
        let seen = &mut self.readers[index].seen;
        if seen.is_some_and(|seen| position.is_after(seen) == Some(false)) {
            return; // this member is behind the one before
        }
        *seen = Some(position);
        self.tally.read_afar += 1;
        let group = self.published_group();
        self.bus.clients.on_read_afar(index, group, position);
    }
}
