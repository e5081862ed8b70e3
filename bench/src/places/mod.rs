//! Where a workload runs: nodes in this process, each on a thread of its own, or in processes of their own.

mod cluster;
mod folder;
mod nodes;
mod place;
mod stage;

pub(crate) use cluster::{CLUSTER, Cluster};
pub(crate) use folder::Folder;
pub(crate) use nodes::Nodes;
pub(crate) use place::{GROUP, Place, Trouble, founded, next_message, on, open};
pub(crate) use stage::{Stage, in_system, on_own_thread};
