//! The message bus.

mod actor;
mod commands;
mod delivery;
mod envelope;
mod error;
mod handle;
mod local;
mod peers;
mod subscription;
mod talk;

pub use delivery::{Delivery, Missed, NotThatType};
pub use error::{PublishError, RequestError, SubscribeError};
pub use handle::{Bus, Publishing};
pub use subscription::{Overflow, SubscribeOptions, Subscription};

pub(crate) use actor::{BusActor, HandOut, Hosted, PeerDown, PeerFrames, PeerUp, StopBus};
pub(crate) use commands::{Publish, Request, Subscribe, Unsubscribe};
pub(crate) use envelope::{Envelope, Opened, open, wrap, wrap_raw};
