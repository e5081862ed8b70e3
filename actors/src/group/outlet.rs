//! The way of a group's messages to its peers.

use std::{fmt, sync::Arc};

use quorate_membership::NodeId;
use quorate_transport::{Frame, Lane};

/// What a group wants sent to peers.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// To whom.
    pub(crate) to: Arc<[NodeId]>,
    /// On which lane.
    pub(crate) lane: Lane,
    /// What.
    pub(crate) frame: Frame,
    /// Whether it is kept even where as much waits as may, because a window bounds how much of it there is.
    pub(crate) is_bounded: bool,
}

/// Takes what is to be sent, and never waits: what cannot be kept until it is sent is lost, as on a
/// link that breaks, and the group asks for it again.
pub(crate) trait Outlet: fmt::Debug {
    /// Sends, or counts a loss.
    fn send(&self, outgoing: Outgoing);
}
