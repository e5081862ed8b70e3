//! Who is here: failure detection, views and agreement on the next view.
//!
//! Everything in this crate is a pure state machine: time, chance and messages come in as
//! arguments, and what is to be done comes out as effects. There is no socket, clock, thread or
//! file here.

mod ids;
mod time;
mod timing;

pub use ids::{GroupId, Incarnation, Member, NodeId, NotANode};
pub use time::Time;
pub use timing::{BadTiming, Timing};
