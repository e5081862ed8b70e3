//! Bytes between nodes: transports, links and lanes.
//!
//! A [`Transport`] opens and accepts [`Link`]s to other nodes. A link has lanes, each a reliable
//! stream of [`Frame`]s in order with a flow control of its own, and carries datagrams beside
//! them. What the frames mean is nobody's business here.

mod config;
mod error;
mod frame;
mod link;
mod peer;

pub use config::{FrameConfig, FrameSettings, FrameSettingsError};
pub use error::{CloseReason, ConnectError, DatagramError, LinkError, SendError};
pub use frame::Frame;
pub use link::{Incoming, Lane, LaneReceiver, LaneSender, Link, Transport};
pub use peer::{Endpoint, Hello, PeerInfo, Role};

/// For those who write a transport: frames and greetings as bytes.
pub mod codec;
