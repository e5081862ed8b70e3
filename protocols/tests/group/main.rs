//! Groups on a perfect network with virtual time, one behaviour per test.

mod busy;
mod charter;
mod departed;
mod empty;
mod fates;
mod founding;
mod heads;
mod late;
mod letters;
mod questions;
mod refills;
mod rejoining;
mod relaying;
mod removed;
mod rows;
mod slow;
mod stateless;
mod transfer;
mod world;
