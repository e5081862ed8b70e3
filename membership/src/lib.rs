//! Who is here: failure detection, views and agreement on the next view.
//!
//! Everything in this crate is a pure state machine: time, chance and messages come in as
//! arguments, and what is to be done comes out as effects. There is no socket, clock, thread or
//! file here.

mod cluster;
mod detector;
mod explain;
mod ids;
mod stalls;
mod time;
mod timing;
mod view;

/// How the members of a view agree on the next one.
pub mod agreement;

pub use cluster::{Cluster, ClusterEffect, ClusterError, ClusterIdentity};
pub use detector::{Beat, Detector, DetectorEffect};
pub use explain::Span;
pub use ids::{GroupId, Incarnation, Member, NodeId, NotANode};
pub use stalls::{Stalls, StallsNoticed};
pub use time::Time;
pub use timing::{BadTiming, Timing};
pub use view::{Change, Cut, Decree, Seq, Side, View, ViewId, closing_quorum, majority};
