//! Other systems, measured beside ours.

#[cfg(target_os = "linux")]
pub(crate) mod corosync;
#[cfg(feature = "zenoh")]
mod zenoh;

#[cfg(feature = "zenoh")]
pub(crate) use self::zenoh::{ZenohAsking, ZenohFan};
