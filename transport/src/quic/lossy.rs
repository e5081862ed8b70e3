//! A socket on which packets are lost.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

use crate::faults::{Losses, PacketLoss};

/// Loses some of what arrives at another socket, and is that socket in all else.
#[derive(Debug)]
pub(super) struct LossySocket {
    socket: Arc<dyn AsyncUdpSocket>,
    losses: Mutex<Losses>,
}

impl LossySocket {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, loss: PacketLoss) -> Self {
        Self { socket, losses: Mutex::new(Losses::new(loss)) }
    }
}

impl AsyncUdpSocket for LossySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_recv(context, buffers, received))?;
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        for (buffer, received) in buffers.iter_mut().zip(received).take(count) {
            // A piece of nothing is what quinn takes no packet from.
            received.len = losses.thin(&mut buffer[..received.len], received.stride);
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
