//! What every transport offers.

use std::{collections::VecDeque, fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{CloseReason, ConnectError, DatagramError, Endpoint, Frame, LinkError, PeerInfo, SendError};

/// One of the streams of a link. Each direction has its own, and its own flow control: what waits
/// on one lane holds up no other.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Lane {
    /// For what keeps the cluster together: small, urgent, ahead of all data.
    Control,
    /// For the traffic of one group, of the bus or of a client; the number says which.
    Data(u64),
    /// For large transfers that may wait for everything else.
    Bulk,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("control"),
            Self::Data(number) => write!(f, "data {number:x}"),
            Self::Bulk => f.write_str("bulk"),
        }
    }
}

/// A lane that the peer has opened.
pub type Incoming = (Lane, Box<dyn LaneReceiver>);

/// Opens and accepts links to nodes that prove who they are.
///
/// Dropping a transport closes it. All methods may be called from any thread of a tokio runtime.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Opens a link to a node. Returns once both sides know each other: the handshake is over,
    /// the peer has proved to be the one asked for, and the hellos fit.
    ///
    /// # Errors
    /// [`ConnectError`]: whom to blame, and whether another try may help.
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Link>, ConnectError>>;

    /// Waits for the next link that a peer has opened; `None` once the transport is closed.
    ///
    /// Peers that are refused are counted and logged, and never seen here.
    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Link>>>;

    /// Where others reach this transport.
    fn local_addr(&self) -> SocketAddr;

    /// Closes all links, and returns once what was sent before is on its way or cannot be: peers
    /// that go on reading receive it before they learn of the end.
    fn close(&self, reason: CloseReason) -> BoxFuture<'_, ()>;
}

/// A connection to one peer, whose identity is proved.
///
/// It promises integrity and, while it lasts, order within a lane. It may break at any moment and
/// lose a tail of what was sent. Dropping the last handle, lanes included, closes it.
pub trait Link: fmt::Debug + Send + Sync + 'static {
    /// Who is at the other end.
    fn peer(&self) -> &PeerInfo;

    /// Opens this side's half of a lane. A lane that is opened again continues a new stream; the
    /// receiver sees both, one after the other.
    fn open(&self, lane: Lane) -> BoxFuture<'_, Result<Box<dyn LaneSender>, LinkError>>;

    /// Waits for the next lane that the peer opens.
    fn accept(&self) -> BoxFuture<'_, Result<Incoming, LinkError>>;

    /// Sends a datagram, which may be lost, doubled or overtaken. It never waits.
    ///
    /// # Errors
    /// [`DatagramError`] if it cannot be sent at all.
    fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError>;

    /// Waits for the next datagram. If nobody takes them, the oldest are dropped.
    fn recv_datagram(&self) -> BoxFuture<'_, Result<Bytes, LinkError>>;

    /// Closes the link at once and tells the peer why. Closing twice changes nothing.
    fn close(&self, reason: CloseReason);

    /// Waits until the link is closed, by whomever, and says why.
    fn closed(&self) -> BoxFuture<'_, LinkError>;
}

/// The sending half of a lane. Dropping it ends the lane too, but a tail of what was sent may be
/// lost; a frame that was broken off is never seen by the receiver.
pub trait LaneSender: fmt::Debug + Send {
    /// Sends frames, oldest first, taking each out of the queue once it is handed to the
    /// connection. Waits while the peer or the network takes no more: back-pressure, never loss.
    /// Cancelling the wait may break off a frame; the lane must then be dropped.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] and [`SendError::HeaderTooLarge`] name a frame that was taken out and
    /// not sent; the lane goes on.
    /// [`SendError::Stopped`]: the receiver was dropped. Otherwise the link is gone.
    fn send<'a>(&'a mut self, frames: &'a mut VecDeque<Frame>) -> BoxFuture<'a, Result<(), SendError>>;

    /// Ends the lane: the receiver gets all that was sent, then the end.
    fn finish(&mut self) -> BoxFuture<'_, Result<(), LinkError>>;
}

/// The receiving half of a lane. While nobody calls [`Self::recv`], the sender is held back; once
/// it is dropped, the sender's next frames are refused with [`SendError::Stopped`].
pub trait LaneReceiver: fmt::Debug + Send {
    /// Waits for frames and appends all that are here already, at least one. Returns false at the
    /// end of the lane. Cancelling the wait loses nothing.
    ///
    /// # Errors
    /// [`LinkError`]: the link is closed, by its loss or because of what the peer sent.
    fn recv<'a>(&'a mut self, frames: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool, LinkError>>;
}
