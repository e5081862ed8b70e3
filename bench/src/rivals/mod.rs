//! Other systems, measured beside ours. Each is built only with the feature of its name.

mod zenoh;

pub(crate) use zenoh::{ZENOH, ZenohAsking, ZenohFan};
