//! What a benchmark says while it runs.

use crate::{Record, Report};

/// What a benchmark says while it runs, for a progress bar and for output line by line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// A step begins: a warm-up or one round of one side.
    Step {
        /// Steps that are over.
        done: usize,
        /// All steps of the benchmark.
        steps: usize,
        /// The case that is measured now.
        case: String,
    },
    /// It begins: on what and how it is measured is known, and no figure.
    Begins(Report),
    /// A figure is known. All figures come in the final report too.
    Measured(Record),
}
