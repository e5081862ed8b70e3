//! What a group's state machines cost by themselves, without links, threads or time that passes.
//!
//! Run: `cargo bench -p quorate-protocols`

mod orders;
mod views;
mod world;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().measurement_time(Duration::from_secs(3)).configure_from_args();
    orders::orders(&mut criterion);
    views::views(&mut criterion);
    criterion.final_summary();
}
