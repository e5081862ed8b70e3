//! What is promised: message orders, and the group that joins them with agreed views.
//!
//! Everything here is a pure state machine, like `quorate-membership` below it. [`Group`] is the
//! composition that both the actors and the simulator drive.

mod batch;
mod direct;
mod group;
mod order;
mod presence;
mod stream;
mod transfer;
mod weight;

/// What the bus decides: who gets a message, what comes twice, where a reader goes on.
pub mod bus;

pub use batch::Batch;
pub use direct::{Purpose, RequestId};
pub use group::{
    Audience, Body, Charter, Collect, Collected, Effect, Effects, Event, Fate, Frontier, Gap, Group,
    GroupConfig, Input, Legacy, Message, Messages, NotASlowPolicy, Offer, Refusal, Restore, SlowPolicy,
    SpecError, Ticket, Wait, WedgeReason,
};
pub use order::Order;
pub use presence::{KnownNode, Notice, Presence, PresenceEffect};
pub use stream::{Frame, Part, Row, Way, Whole};
pub use transfer::ChunkLabel;
