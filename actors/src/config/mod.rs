//! What a node is told before it starts.

mod error;
mod life;
mod node;
mod spec;

pub use error::SettingsError;
pub use life::{Life, LifeError};
pub use node::{NodeConfig, NodeSettings};
pub use spec::{GroupSettings, GroupSpec};

pub(crate) use life::VERSIONS;
pub(crate) use node::{ENVELOPE_BYTES_MAX, PAYLOAD_BYTES_MAX};
