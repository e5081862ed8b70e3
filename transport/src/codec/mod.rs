//! How transports put frames and greetings into bytes.
//!
//! A connection starts with a [`Greeting`](crate::codec::Greeting) from each side ([`encode_hello`](crate::codec::encode_hello), [`agree`](crate::codec::agree)).
//! Each lane is a byte stream of its own: it starts with the name of the lane ([`encode_lane`](crate::codec::encode_lane)),
//! and then carries records ([`FrameEncoder`](crate::codec::FrameEncoder), [`FrameDecoder`](crate::codec::FrameDecoder)). Nothing here does I/O.
//!
//! A record is a prefix of eight bytes, then a header, then payload:
//!
//! | byte 0 | bytes 1-3, little endian | bytes 4-7, little endian | behind it |
//! |---|---|---|---|
//! | 0, whole | bytes of the header | bytes of the payload | header, payload |
//! | 1, large | bytes of the header | bytes of the payload of all parts | header |
//! | 2, part | 0 | bytes of this part, at least 1 | that much of the payload |
//!
//! Behind a large record come its parts and nothing else until its payload is complete.

mod close;
mod decode;
mod encode;
mod hello;
mod lane;
mod prefix;
mod recycled;

#[cfg(test)]
mod tests;

pub use close::{CLOSE_BYTES_MAX, decode_close, encode_close};
pub use decode::{FrameDecoder, FrameError, Need, ReassemblyBudget};
pub use encode::{FrameEncoder, check_lengths};
pub use hello::{
    Agreed, Disagreement, FrameLimits, Greeting, HELLO_BYTES_MAX, HELLO_PREFIX_BYTES, HelloError, agree,
    decode_hello, encode_hello, hello_bytes,
};
pub use lane::{LANE_BYTES, UnknownLane, decode_lane, encode_lane};
