//! Hosts with networks of their own: processes that are told on standard input what to do.

mod clock;
mod credentials;
mod process;
mod serving;
mod system;

pub(crate) use self::{
    clock::now,
    credentials::Issuer,
    process::{Host, Own, PATIENCE, children, lines},
    serving::serve,
    system::{check_system, ip, run},
};
