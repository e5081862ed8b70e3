//! What a benchmark gives: figures beside their baselines, the rounds behind them, and how people are shown them.

mod page;
mod progress;
mod record;
mod report;
mod runs;
mod series;
mod size;
mod summary;
mod thirds;

pub use page::{Page, PageError};
pub use progress::Progress;
pub use record::{Bound, Record, Unit};
pub use report::Report;
pub use runs::{OfRuns, RunCount};
pub use series::{Percentiles, Quantile, Round, Series, SideSeries, Timeline};

pub(crate) use record::{Label, Named, Rounds};
pub(crate) use size::Size;
pub(crate) use summary::Summary;
pub(crate) use thirds::MEMORY_KEPT;
