//! Groups on a perfect network with virtual time, one behaviour per test.

mod letters;
mod world;
