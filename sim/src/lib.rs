//! The group cores on a seeded clock and network, with checkers.
//!
//! One number decides everything: delays, losses, duplicates, cuts, pauses, crashes and what the
//! applications send. First faults, then a healed network in which all work must finish.

mod check;
mod faults;
mod letters;
mod run;
mod world;

pub use check::{Checker, Violation};
pub use faults::{Fault, Schedule};
pub use letters::Letters;
pub use run::{Outcome, Settings, run, shrink};
pub use world::{Tally, World};
