//! The median of a few figures, and their range.

/// The median of a few figures, and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Summary {
    /// `None` of no figures.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self { median, low, high })
    }
}

/// A ratio; also of nothing to nothing.
pub(crate) fn divide(ours: f64, baseline: f64) -> f64 {
    if ours.total_cmp(&baseline).is_eq() { 1.0 } else { ours / baseline }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two() {
        assert_eq!(Summary::of([3.0, 1.0, 9.0]), Some(Summary { median: 3.0, low: 1.0, high: 9.0 }));
        assert_eq!(Summary::of([3.0, 1.0, 9.0, 5.0]).map(|s| s.median), Some(4.0));
        assert_eq!(Summary::of([]), None);
    }
}
