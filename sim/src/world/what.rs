//! What can happen in a simulated group.

use std::sync::Arc;

use bytes::Bytes;
use quorate_membership::{Beat, Member, NodeId, ViewId};
use quorate_protocols::{Message, RequestId};

use super::lanes::Way;

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum What {
    /// A message of the group arrives.
    Arrive { from: Member, to: NodeId, message: Arc<Message> },
    /// A heartbeat arrives.
    Beat { from: Member, to: NodeId, beat: Beat },
    /// What waited longest on a lane has left it.
    Leave(Way, u64),
    /// A moment comes that the group of this life asked for.
    Wake(Member),
    /// A moment comes that the failure detector of this life asked for.
    Look(Member),
    /// A process that shares its machine has a turn.
    Turn(NodeId),
    /// The application of a node sends.
    Submit(NodeId),
    /// The application answers a request.
    Answer { by: Member, request: RequestId, payload: Bytes },
    /// The application sends again what was lost, or something new.
    Again { by: Member, payload: Option<Bytes> },
    /// The application hands over its state.
    Snapshot { by: Member, view: ViewId, state: Bytes },
    /// A fault begins, or becomes armed.
    Begin(usize),
    /// A fault ends, or is disarmed.
    End(usize),
    /// What an aimed fault has struck heals.
    Heal(usize),
}
