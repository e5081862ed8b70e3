//! The way of the groups' messages into the mesh.

use quorate_transport::{Mesh, OutboxError};

use crate::group::{Outgoing, Outlet};

impl Outlet for Mesh {
    fn send(&self, outgoing: Outgoing) {
        let Outgoing { to, lane, frame, is_bounded } = outgoing;
        for node in to.iter() {
            let sent = if is_bounded {
                self.send_over(*node, lane, frame.clone())
            } else {
                Self::send(self, *node, lane, frame.clone())
            };
            let Err(error) = sent else { continue };
            metrics::counter!("quorate_outgoing_lost_total").increment(1);
            if let OutboxError::TooLarge(_) = error {
                tracing::error!(%node, %lane, %error, "a group made a message that no link carries");
            } else {
                tracing::trace!(%node, %lane, %error, "a message was not sent; the group asks for it again");
            }
        }
    }
}
