//! Bare UDP somewhat faster than the link: what arrives is what the link carries.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::{
    net::UdpSocket,
    time::{MissedTickBehavior, interval, timeout_at},
};

use super::words::Answer;
use crate::BenchError;

/// Enough that none is lost at the receiver.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Time from one burst to the next.
const PAUSE: Duration = Duration::from_millis(1);
/// How much longer than a round it is sent, so that the receiver always has something to take.
const AFTER: Duration = Duration::from_millis(200);
/// How long the first packet of a round may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends packets at a pace, whether they arrive or not. The first byte of each counts rounds.
#[derive(Debug)]
pub(super) struct BlastSender {
    socket: UdpSocket,
    packet: Vec<u8>,
    bytes_per_second: u64,
}

impl BlastSender {
    pub(super) async fn new(
        to: SocketAddr,
        packet_bytes: usize,
        bytes_per_second: u64,
    ) -> Result<Self, BenchError> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(to).await?;
        SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        Ok(Self { socket, packet: vec![0; packet_bytes], bytes_per_second })
    }

    pub(super) async fn round(&mut self, length: Duration) -> Result<Answer, BenchError> {
        self.packet[0] = self.packet[0].wrapping_add(1);
        let (begun, mut sent) = (Instant::now(), 0_u64);
        let mut pauses = interval(PAUSE);
        pauses.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while begun.elapsed() < length + AFTER {
            pauses.tick().await;
            let bytes =
                u128::from(self.bytes_per_second) * (begun.elapsed() + PAUSE).as_nanos() / 1_000_000_000;
            while u128::from(sent) * (self.packet.len() as u128) < bytes {
                self.socket.send(&self.packet).await?;
                sent += 1;
            }
        }
        Ok(Answer::Sent(sent))
    }
}

/// Counts what arrives within a round, from its first packet on.
#[derive(Debug)]
pub(super) struct BlastReceiver {
    socket: UdpSocket,
    round: u8,
}

impl BlastReceiver {
    pub(super) async fn new(at: SocketAddr) -> Result<Self, BenchError> {
        let socket = UdpSocket::bind(at).await?;
        SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        Ok(Self { socket, round: 0 })
    }

    pub(super) async fn round(&mut self, length: Duration) -> Result<Answer, BenchError> {
        self.round = self.round.wrapping_add(1);
        let mut packet = vec![0; 1 << 16];
        let mut until = Instant::now() + PATIENCE;
        let (mut first, mut last, mut messages, mut message_bytes) = (None, until, 0, 0);
        while timeout_at(until.into(), self.socket.readable()).await.is_ok_and(|ready| ready.is_ok()) {
            let now = Instant::now();
            if first.is_some() && now > until {
                break;
            }
            // All that is there, without looking at the clock for each.
            while let Some(bytes) = self.take(&mut packet)? {
                if packet[0] != self.round {
                    continue; // It was on the way when the round before was over.
                }
                if first.is_none() {
                    first = Some(now);
                    until = now + length;
                }
                (last, messages, message_bytes) = (now, messages + 1, bytes);
            }
        }
        let first = first.ok_or_else(|| BenchError::Baseline("nothing arrived".into()))?;
        Ok(Answer::Received { messages, message_bytes, elapsed: last.saturating_duration_since(first) })
    }

    /// The next packet that is there already.
    fn take(&self, packet: &mut [u8]) -> Result<Option<usize>, BenchError> {
        match self.socket.try_recv(packet) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
