//! One link to every peer, whatever happens.

#[allow(clippy::unused_async, reason = "what other tests need is shared as they need it")]
#[path = "../common/mod.rs"]
mod common;
mod linking;
mod traffic;
mod world;
