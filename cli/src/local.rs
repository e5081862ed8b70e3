//! A cluster on this machine: where everything lies, and how its nodes run.

mod claim;
mod layout;
mod process;

pub(crate) use claim::Claim;
pub(crate) use layout::{GROUP, Layout, PATTERN};
pub(crate) use process::Child;
