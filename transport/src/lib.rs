//! Bytes between nodes: transports, links and lanes.
//!
//! A [`Transport`] opens and accepts [`Link`]s to other nodes. A link has lanes, each a reliable
//! stream of [`Frame`]s in order with a flow control of its own, and carries datagrams beside
//! them. What the frames mean is nobody's business here.

mod bundle;
mod config;
mod credentials;
mod error;
mod frame;
mod link;
mod memory;
mod mesh;
mod net;
mod peer;
mod quic;
mod tcp;
mod tls;

pub use bundle::{Bundle, NotABundle};
pub use config::{FrameConfig, FrameSettings, FrameSettingsError};
pub use credentials::{
    ClusterCa, ClusterName, CredentialError, CredentialFiles, Credentials, Identity, RevocationList, Serial,
    Validity,
};
pub use error::{CloseReason, ConnectError, DatagramError, LinkError, SendError};
pub use frame::{Body, Frame};
pub use link::{Incoming, Lane, LaneReceiver, LaneSender, Link, Transport};
pub use memory::{MemoryConfig, MemoryNetwork, MemoryTransport};
pub use mesh::{
    Crowd, Mesh, MeshConfig, MeshEvent, MeshSettings, MeshSettingsError, Outbox, OutboxError, Peer,
};
pub use net::{
    BindError, Congestion, ConnectionConfig, ConnectionSettings, ConnectionSettingsError, NotACongestion,
};
pub use peer::{Endpoint, Hello, PeerInfo, Role};
pub use quic::{QuicTransport, Traffic};
pub use tcp::TcpTransport;
pub use tls::Refusal;

/// For those who write a transport: frames and greetings as bytes.
pub mod codec;

/// What every transport has to show that it keeps.
pub mod conformance;

/// Faults on demand, for any transport.
pub mod faults;
