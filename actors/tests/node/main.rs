//! Whole nodes in one process: groups, the bus and clients, over memory and over QUIC.

mod common;

mod batches;
mod bindings;
mod bus;
mod clients;
mod collecting;
mod failover;
mod faults;
mod following;
mod garbage;
mod groups;
mod handover;
mod quic;
mod quic_faults;
mod rejoining;
mod routes;
mod sides;
mod stalls;
mod state;
mod uncopied;
