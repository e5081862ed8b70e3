//! A link of ours from one host to the other, and its lanes.

use std::{net::SocketAddr, path::Path, sync::Arc};

use quorate_membership::NodeId;
use quorate_transport::{
    Congestion, ConnectionSettings, CredentialFiles, Credentials, Endpoint, Lane, LaneReceiver, LaneSender,
    Link, Transport,
};
use serde::{Deserialize, Serialize};

use crate::{
    BenchError, TransportKind,
    transport::{CLUSTER, bind, hello},
};

/// How a host opens its transport.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Opening {
    pub(super) kind: TransportKind,
    /// Bytes of a lane that may be on the way; `None` for what nodes have by default.
    pub(super) lane_window_bytes: Option<u32>,
    /// The congestion control of QUIC; `None` likewise.
    pub(super) congestion: Option<Congestion>,
}

fn open(
    Opening { kind, lane_window_bytes, congestion }: Opening,
    folder: &Path,
    listens: Option<SocketAddr>,
) -> Result<Arc<dyn Transport>, BenchError> {
    let credentials = Credentials::load(&CredentialFiles::of_node(folder)).map_err(BenchError::ours)?;
    let usual = ConnectionSettings::default();
    let settings = ConnectionSettings {
        lane_window_bytes: lane_window_bytes.unwrap_or(usual.lane_window_bytes),
        congestion: congestion.unwrap_or(usual.congestion),
        ..usual
    };
    let config = settings.try_into().map_err(BenchError::ours)?;
    bind(kind, credentials, hello(CLUSTER, listens), config)
}

/// The host that sends.
#[derive(Debug)]
pub(super) struct Dialled {
    link: Arc<dyn Link>,
    _transport: Arc<dyn Transport>,
}

impl Dialled {
    pub(super) async fn new(opening: Opening, folder: &Path, to: SocketAddr) -> Result<Self, BenchError> {
        let transport = open(opening, folder, None)?;
        let to = Endpoint { node: Some(NodeId::new(2)), addr: to };
        let link = transport.connect(&to).await.map_err(BenchError::ours)?;
        Ok(Self { link, _transport: transport })
    }

    pub(super) async fn lane(&self, number: u32) -> Result<Box<dyn LaneSender>, BenchError> {
        self.link.open(Lane::Data(number.into())).await.map_err(BenchError::ours)
    }
}

/// The host that receives.
#[derive(Debug)]
pub(super) struct Accepting {
    transport: Arc<dyn Transport>,
    link: Option<Arc<dyn Link>>,
}

impl Accepting {
    pub(super) fn new(opening: Opening, folder: &Path, addr: SocketAddr) -> Result<Self, BenchError> {
        Ok(Self { transport: open(opening, folder, Some(addr))?, link: None })
    }

    /// The next lane of the link that the other host has opened.
    pub(super) async fn lane(&mut self) -> Result<Box<dyn LaneReceiver>, BenchError> {
        let link = if let Some(link) = &self.link {
            link
        } else {
            let gone = || BenchError::ours("the transport is closed");
            self.link.insert(self.transport.accept().await.ok_or_else(gone)?)
        };
        link.accept().await.map(|(_, lane)| lane).map_err(BenchError::ours)
    }
}
