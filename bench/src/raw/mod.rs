//! The baseline: quinn without anything on it, at the best settings found.

mod beside;
mod certificates;
mod cipher;
mod connect;
mod echo;
mod exchange;
mod net;
mod spread;
mod tuning;

pub(crate) use beside::RawBeside;
pub(crate) use cipher::Cipher;
pub(crate) use connect::{RawConnect, Resumption};
pub(crate) use echo::{RawEcho, RawEnds, ask_until};
pub(crate) use exchange::RawExchange;
pub(crate) use net::{
    RawNet, accept, accept_stream, allowed_buffer_bytes, client_config, dial, endpoint, open_stream,
    server_config,
};
pub(crate) use spread::{RawSpread, count, send_until};
pub(crate) use tuning::{Other, Tuning};

/// What the baseline is, for people.
pub(crate) const RAW_QUINN: &str =
    "raw quinn, MTU discovery up to 6500, 4 MiB socket buffers, AES-128-GCM, one stream per receiver";
