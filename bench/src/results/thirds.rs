//! The last third of a row of figures beside the first: whether what goes on for long stays as it was.

use super::record::Named;
use crate::{Bound, Record};

/// Memory that grows goes on to grow; what allocators keep for a while moves by less than this.
pub(crate) const MEMORY_KEPT: Bound = Bound::AtMost(1.05);

/// The first third of what was seen again and again, and the last; both have the same length.
pub(crate) fn thirds<T>(all: &[T]) -> [&[T]; 2] {
    let third = all.len().div_ceil(3);
    [&all[..third], &all[all.len() - third..]]
}

impl Record {
    /// The median of the last third beside that of the first; `None` if nothing was seen.
    pub(crate) fn of_thirds(named: &Named, all: &[f64]) -> Option<Self> {
        let [first, last] = thirds(all).map(|third| third.iter().copied());
        Self::beside(named, last, first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirds_are_of_equal_length_and_have_both_ends() {
        assert_eq!(thirds(&[1, 2, 3, 4, 5, 6]), [&[1, 2], &[5, 6]]);
        assert_eq!(thirds(&[1, 2, 3, 4]), [&[1, 2], &[3, 4]]);
        assert_eq!(thirds(&[1]), [&[1], &[1]]);
        assert_eq!(thirds::<u8>(&[]).map(<[u8]>::len), [0, 0]);
    }
}
