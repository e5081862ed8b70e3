//! Using a node over a link: as a client, or as a node that does not carry a group itself.

mod commands;
mod config;
mod handle;
mod inbox;
mod own_member;
mod pending;
mod reading;
mod session;
mod silence;
mod talk;
mod uplink;

pub use config::{ClientConfig, ClientSettings};
pub use handle::{Client, ClientError};

pub(crate) use commands::{AnswersFrom, AwaitIdle, Carriers, HandOver, StopUplink};
pub(crate) use own_member::{AwaitSettled, OwnMember};
pub(crate) use reading::Handed;
pub(crate) use session::{SessionDesk, serve};
#[cfg(test)]
pub(crate) use talk::{Ask, Tell, frame as use_frame, read as read_use};
pub(crate) use uplink::Uplink;
