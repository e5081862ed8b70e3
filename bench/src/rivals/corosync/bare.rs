//! Bare quinn on a host: the first sends the same bytes to both others, and nothing else stands between them.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use quinn::{Endpoint, RecvStream, SendStream};
use tokio::task::JoinHandle;

use super::words::{Listens, Part, Work};
use crate::{
    BenchError,
    hosts::now,
    measure::Load,
    raw::{
        Tuning, accept, accept_stream, client_config, count, dial, endpoint, open_stream, send_until,
        server_config,
    },
};

/// One end. It runs on the thread that carries out orders, as a node of ours has one thread.
#[derive(Debug)]
pub(super) struct Bare {
    end: End,
    _endpoint: Endpoint,
}

#[derive(Debug)]
enum End {
    Sends(Vec<SendStream>),
    /// Until the first round.
    Accepts(JoinHandle<Result<RecvStream, BenchError>>),
    Receives(RecvStream),
    /// A round failed.
    Lost,
}

impl Bare {
    /// Listens, and says where. Within a runtime only.
    pub(super) fn listen(at: Ipv4Addr, mtu: u16) -> Result<(Self, Listens), BenchError> {
        let tuning = Tuning::for_link(mtu);
        let (server, certificate) = server_config(tuning).map_err(BenchError::baseline)?;
        let endpoint = endpoint(tuning, (at, 0).into(), Some(server))?;
        let listens = Listens { addr: endpoint.local_addr()?, certificate: certificate.to_vec() };
        let listening = endpoint.clone();
        let accepting = tokio::spawn(async move { accept_stream(&accept(&listening).await?).await });
        Ok((Self { end: End::Accepts(accepting), _endpoint: endpoint }, listens))
    }

    /// Opens a stream to each of those who listen.
    pub(super) async fn reach(all: Vec<Listens>, mtu: u16) -> Result<Self, BenchError> {
        let tuning = Tuning::for_link(mtu);
        let mut endpoint = endpoint(tuning, (Ipv4Addr::UNSPECIFIED, 0).into(), None)?;
        let mut streams = Vec::new();
        for Listens { addr, certificate } in all {
            let config = client_config(tuning, certificate.into()).map_err(BenchError::baseline)?;
            endpoint.set_default_client_config(config);
            streams.push(open_stream(&dial(&endpoint, addr).await?).await?);
        }
        Ok(Self { end: End::Sends(streams), _endpoint: endpoint })
    }

    /// Sends for so long, or takes what the first host sends.
    pub(super) async fn round(&mut self, work: Work, length: Duration) -> Result<Part, BenchError> {
        let (begun, deadline) = (now(), Instant::now() + length);
        let (sent, received);
        self.end = match std::mem::replace(&mut self.end, End::Lost) {
            End::Sends(mut streams) => {
                sent = send_until(&mut streams, &Load::new(work.message_bytes), deadline).await?;
                // Its own messages do not leave it.
                received = sent;
                End::Sends(streams)
            }
            End::Accepts(stream) => {
                let mut stream = stream.await.map_err(BenchError::task)??;
                (sent, received) = (0, count(&mut stream).await?);
                End::Receives(stream)
            }
            End::Receives(mut stream) => {
                (sent, received) = (0, count(&mut stream).await?);
                End::Receives(stream)
            }
            End::Lost => return Err(BenchError::baseline("a round failed before")),
        };
        Ok(Part { sent, received, begun, over: now(), latencies: Vec::new() })
    }
}
