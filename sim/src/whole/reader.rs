//! Readers of a bound group at nodes that do not carry it: each reads at one carrier after the other,
//! and goes on behind what it has seen.

use quorate_membership::Member;
use quorate_protocols::bus::{Cursor, Position, Read};
use rand::RngExt;

use super::{World, network::What};

/// Where somebody reads: at which member, and where there.
#[derive(Clone, Copy, Debug)]
struct Place {
    life: Member,
    /// In which stay of the node in the group.
    stay: u64,
    cursor: Cursor,
}

/// A reader from afar.
#[derive(Debug, Default)]
pub(super) struct Reader {
    at: Option<Place>,
    /// How far it has come.
    seen: Option<Position>,
}

impl World {
    pub(super) fn step_reader(&mut self, index: usize) {
        self.soon(1_000..80_000, What::Reader(index));
        let id = self.published_group();
        let stays = self.readers[index].at.is_some_and(|place| {
            self.carries(place.life, id) && self.bound(place.life, id).is_some_and(|it| it.stay == place.stay)
        });
        if !stays || self.rng.random_range(0..50) == 0 {
            self.readers[index].at = self.some_carrier().and_then(|life| self.begin_reading(index, life));
        }
        let Some(mut place) = self.readers[index].at else { return };
        if self.nodes[&place.life.node].pauses > 0 {
            return;
        }
        for _ in 0..self.rng.random_range(1..20) {
            let Some(bound) = self.bound(place.life, id) else { return };
            match bound.core.read(&mut place.cursor) {
                Read::Missed { .. } => self.bus.clients.on_gap(index),
                Read::Nothing => break,
                Read::Entry(position, _) => {
                    place.cursor.pass(position);
                    self.tally.read_afar += 1;
                    self.bus.clients.on_read_afar(index, id, position);
                }
            }
        }
        self.readers[index].seen = place.cursor.seen();
        self.readers[index].at = Some(place);
    }

    /// Goes on at this member behind what was seen.
    fn begin_reading(&mut self, index: usize, life: Member) -> Option<Place> {
        let (id, seen) = (self.published_group(), self.readers[index].seen);
        let bound = self.bound(life, id)?;
        let (cursor, stay) = (bound.core.begin(seen), bound.stay);
        if seen.is_none() {
            self.bus.clients.on_gap(index); // it begins now
        }
        Some(Place { life, stay, cursor })
    }
}
