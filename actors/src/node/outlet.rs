//! The way of the groups' messages into the mesh.

use quorate_transport::Mesh;

use crate::group::{Outgoing, Outlet};

impl Outlet for Mesh {
    fn send(&self, outgoing: Outgoing) {
        let Outgoing { to, lane, frame } = outgoing;
        for node in to.iter() {
            if let Err(error) = Self::send(self, *node, lane, frame.clone()) {
                metrics::counter!("quorate_outgoing_lost_total").increment(1);
                tracing::trace!(%node, %lane, %error, "a message was not sent; the group asks for it again");
            }
        }
    }
}
