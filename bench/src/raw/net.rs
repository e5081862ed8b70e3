//! Endpoints of bare quinn at the best settings found.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use futures_util::future::try_join;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::Cipher;
use crate::{BenchError, stage::Stage};

/// Ten segments of a system call must fit into the 65,507 bytes of a UDP datagram, so never above
/// 6550.
const MTU_BYTES: u16 = 6500;

/// Smaller buffers lose packets by the thousand at full speed.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// What every certificate of the baseline is made out to.
const NAME: &str = "bench.invalid";

/// Nodes that are joined by bare quinn.
#[derive(Debug)]
pub(crate) struct RawNet {
    pub(crate) stage: Arc<Stage>,
    endpoints: Vec<Endpoint>,
}

impl RawNet {
    /// Opens the sockets of this many nodes.
    pub(crate) async fn new(stage: &Arc<Stage>, nodes: usize, cipher: Cipher) -> Result<Self, BenchError> {
        let (server, client) = configs(cipher).map_err(BenchError::baseline)?;
        let mut endpoints = Vec::with_capacity(nodes);
        for node in 0..nodes {
            let (server, client) = (server.clone(), client.clone());
            endpoints.push(stage.at(node, async move { endpoint(server, client) }).await?);
        }
        Ok(Self { stage: Arc::clone(stage), endpoints })
    }

    /// A connection between two nodes, as each of them has it.
    pub(crate) async fn connect(
        &self,
        from: usize,
        to: usize,
    ) -> Result<(Connection, Connection), BenchError> {
        let (dialer, listener) = (self.endpoints[from].clone(), self.endpoints[to].clone());
        let addr = listener.local_addr()?;
        let accepted = self.stage.at(to, async move {
            let incoming = listener.accept().await.ok_or_else(|| BenchError::Baseline("closed".into()))?;
            incoming.await.map_err(BenchError::baseline)
        });
        let dialed = self.stage.at(from, async move {
            let connecting = dialer.connect(addr, NAME).map_err(BenchError::baseline)?;
            connecting.await.map_err(BenchError::baseline)
        });
        try_join(dialed, accepted).await
    }

    /// A stream from one end of a connection to the other.
    pub(crate) async fn stream(
        &self,
        (from, sender): (usize, &Connection),
        (to, receiver): (usize, &Connection),
    ) -> Result<(SendStream, RecvStream), BenchError> {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        let opened = self.stage.at(from, async move {
            let mut send = sender.open_uni().await.map_err(BenchError::baseline)?;
            // The peer learns of a stream by its first byte.
            send.write_all(&[0]).await.map_err(BenchError::baseline)?;
            Ok(send)
        });
        let accepted = self.stage.at(to, async move {
            let mut recv = receiver.accept_uni().await.map_err(BenchError::baseline)?;
            recv.read_exact(&mut [0]).await.map_err(BenchError::baseline)?;
            Ok(recv)
        });
        try_join(opened, accepted).await
    }
}

/// A socket with large buffers, and quinn on it; within the runtime that shall drive it.
fn endpoint(server: ServerConfig, client: ClientConfig) -> Result<Endpoint, BenchError> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(MTU_BYTES).map_err(BenchError::baseline)?;
    let mut endpoint = Endpoint::new(config, Some(server), socket.into(), Arc::new(TokioRuntime))?;
    endpoint.set_default_client_config(client);
    Ok(endpoint)
}

/// Both sides' settings, with a certificate that is made for this run.
fn configs(cipher: Cipher) -> Result<(ServerConfig, ClientConfig), Box<dyn std::error::Error + Send + Sync>> {
    let issued = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate: CertificateDer<'static> = issued.cert.into();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let provider = cipher.provider();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;

    let server_tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let client_tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();

    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MTU_BYTES);
    let mut transport = TransportConfig::default();
    transport.mtu_discovery_config(Some(discovery));
    let transport = Arc::new(transport);
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server_tls)?));
    server.transport_config(Arc::clone(&transport));
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client_tls)?));
    client.transport_config(transport);
    Ok((server, client))
}
