//! The group cores on a seeded clock and network, with checkers.
//!
//! One number decides everything: delays, losses, duplicates, cuts, pauses, crashes and what the
//! applications send. First faults, then a healed network in which all work must finish.

mod aim;
mod armed;
mod busy;
mod check;
mod clock;
mod cluster;
mod faults;
mod history;
mod queue;
mod replica;
mod run;
mod sending;
mod shrink;
mod whole;
mod world;

pub use aim::{Aim, Step, Strike};
pub use check::{Checker, Letters, Violation};
pub use cluster::{
    ClusterReport, ClusterSettings, ClusterWorld, DeathKnown, Stuck, run_cluster, watch_deaths,
};
pub use faults::{Fault, Schedule};
pub use history::{History, Seen};
pub use run::{Outcome, Settings, observe, run};
pub use shrink::shrink;
pub use whole::{WholeOutcome, WholeSettings, WholeTally, run_whole};
pub use world::{Rates, Tally, World};
