//! What publishers were told to have passed, for those of their publications that are submitted again.

use super::{Marks, PublisherId, Stamp};

/// How far publishers have come here, as they were told.
///
/// A group that lost its lineage and was founded anew knows no publisher, and one that many publish
/// to forgets some. Then only the stamp says that what stood before a publication has passed, and a
/// stamp that was written before that was acknowledged says less than is true: all members would
/// drop the publication, for ever, since nobody publishes again what it waits for.
///
/// Invariant: (I1) of no more than [`Marks::PUBLISHERS_MAX`] publishers something is kept; the one that was
/// told nothing for longest is forgotten.
#[derive(Debug, Default)]
pub struct Acknowledged(Marks);

impl Acknowledged {
    /// A publisher is told that a publication has passed, and with it all before.
    pub fn note(&mut self, publisher: PublisherId, number: u64) {
        self.0.admit(&Stamp { publisher, number, previous: 0, settled: 0 });
    }

    /// The stamp under which a publication is submitted again.
    #[must_use]
    pub fn renew(&self, stamp: Stamp) -> Stamp {
        stamp.settled_through(self.0.through(stamp.publisher))
    }
}
