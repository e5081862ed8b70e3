//! A group's actor without a node, for tests.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix::prelude::*;
use quorate_membership::Timing;
use quorate_protocols::bus::PublisherId;
use tokio::sync::mpsc;

use super::{Host, Intake, Outgoing, Outlet, Replication};
use crate::{
    clock::Clock,
    config::GroupSpec,
    node::{Canary, GroupLeft, Pulse},
};

/// Keeps what the group wants sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(pub(super) Rc<RefCell<Vec<Outgoing>>>);

impl Outlet for Kept {
    fn send(&self, outgoing: Outgoing) {
        self.0.borrow_mut().push(outgoing);
    }
}

struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

impl Handler<GroupLeft> for Nobody {
    type Result = ();
    fn handle(&mut self, _: GroupLeft, _: &mut Self::Context) {}
}

/// Starts it for a node that publishes under this name; nobody hears what it sends.
pub(crate) fn start(spec: Arc<GroupSpec>, own: PublisherId) -> (Addr<Replication>, Kept) {
    let (clock, outlet) = (Clock::new(), Kept::default());
    let pulse = Pulse::new(clock, Timing::DEFAULT);
    let node = Nobody.start().recipient();
    let canary = Canary::new("group", mpsc::unbounded_channel().0);
    let (kept, intake) = (Rc::new(outlet.clone()), Intake::new(1 << 20));
    let host = Host { own, legacy: None, intake, clock, pulse, outlet: kept, node };
    (Replication::new(spec, host, None, None, canary).start(), outlet)
}
