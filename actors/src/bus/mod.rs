//! The message bus.

mod actor;
mod bindings;
mod collect;
mod commands;
mod crossing;
mod delivery;
mod envelope;
mod error;
mod follow;
mod handle;
mod handover;
mod holding;
mod local;
mod peers;
mod post;
mod readers;
mod routes;
mod subscription;
mod talk;
#[cfg(test)]
mod tests;

pub use delivery::{Delivery, Missed, NotThatType};
pub use error::{PublishError, RequestError, SubscribeError};
pub use follow::{Followed, Follower, Happened};
pub use handle::{Bus, Publishing};
pub use subscription::{Overflow, SubscribeOptions, Subscription};

pub(crate) use actor::{BusActor, HandOut, PeerDown, PeerFrames, PeerUp, StopBus};
use bindings::Hosted;
pub(crate) use bindings::UplinkOf;
pub(crate) use commands::{
    Forward, Publish, PublishFor, Request, Subscribe, Subscribed, Trail, Unsubscribe, unheard,
};
pub(crate) use envelope::{Envelope, Opened, head, open};
pub(crate) use follow::{is_reserved, tell_message, tell_view};
pub(crate) use handle::{IN_FLIGHT_BYTES_MAX, check_subject};
pub(crate) use local::Local;
pub(crate) use routes::Routes;
pub(crate) use subscription::WAITING_BYTES_MAX;
