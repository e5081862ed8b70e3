//! Using a node over a link: as a client, or as a node that does not carry a group itself.

mod commands;
mod config;
mod handle;
mod inbox;
mod pending;
mod reading;
mod session;
mod talk;
mod uplink;

pub use config::{ClientConfig, ClientSettings};
pub use handle::{Client, ClientError};

pub(crate) use commands::{AnswersFrom, AwaitIdle, Carriers, HandOver, StopUplink};
pub(crate) use reading::Handed;
pub(crate) use session::{SessionDesk, serve};
pub(crate) use uplink::Uplink;
