//! Endpoints of bare quinn at the best settings found.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use futures_util::future::try_join;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig, TokioRuntime,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    RootCertStore,
    client::{Resumption, WebPkiServerVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Tuning, certificates::Certificates};
use crate::{BenchError, places::Stage};

/// What every certificate of the baseline is made out to.
pub(super) const NAME: &str = "bench.invalid";

/// Nodes that are joined by bare quinn.
#[derive(Debug)]
pub(crate) struct RawNet {
    pub(crate) stage: Arc<Stage>,
    endpoints: Vec<Endpoint>,
    certificates: Arc<Certificates>,
}

impl RawNet {
    /// Opens the sockets of this many nodes.
    pub(crate) async fn new(stage: &Arc<Stage>, nodes: usize, tuning: Tuning) -> Result<Self, BenchError> {
        Self::resuming(stage, nodes, tuning, false).await
    }

    /// The same, perhaps with connections that go on from earlier ones.
    pub(super) async fn resuming(
        stage: &Arc<Stage>,
        nodes: usize,
        tuning: Tuning,
        resumes: bool,
    ) -> Result<Self, BenchError> {
        let (server, client, certificates) = configs(tuning, resumes).map_err(BenchError::baseline)?;
        let mut endpoints = Vec::with_capacity(nodes);
        for node in 0..nodes {
            let (server, client) = (server.clone(), client.clone());
            let opening = async move {
                let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let mut endpoint = endpoint(tuning, here, Some(server))?;
                endpoint.set_default_client_config(client);
                Ok(endpoint)
            };
            endpoints.push(stage.at(node, opening).await?);
        }
        Ok(Self { stage: Arc::clone(stage), endpoints, certificates })
    }

    /// The socket of a node.
    pub(super) fn endpoint(&self, node: usize) -> Endpoint {
        self.endpoints[node].clone()
    }

    /// What its nodes have shown to each other.
    pub(super) fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// A connection between two nodes, as each of them has it.
    pub(crate) async fn connect(
        &self,
        from: usize,
        to: usize,
    ) -> Result<(Connection, Connection), BenchError> {
        let (dialer, listener) = (self.endpoints[from].clone(), self.endpoints[to].clone());
        let addr = listener.local_addr()?;
        let accepted = self.stage.at(to, async move { accept(&listener).await });
        let dialed = self.stage.at(from, async move { dial(&dialer, addr).await });
        try_join(dialed, accepted).await
    }

    /// A stream from one end of a connection to the other.
    pub(crate) async fn stream(
        &self,
        (from, sender): (usize, &Connection),
        (to, receiver): (usize, &Connection),
    ) -> Result<(SendStream, RecvStream), BenchError> {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        let opened = self.stage.at(from, async move { open_stream(&sender).await });
        let accepted = self.stage.at(to, async move { accept_stream(&receiver).await });
        try_join(opened, accepted).await
    }
}

/// Opens a connection to who listens there.
pub(crate) async fn dial(endpoint: &Endpoint, addr: SocketAddr) -> Result<Connection, BenchError> {
    let connecting = endpoint.connect(addr, NAME).map_err(BenchError::baseline)?;
    connecting.await.map_err(BenchError::baseline)
}

/// The next connection that somebody opens.
pub(crate) async fn accept(endpoint: &Endpoint) -> Result<Connection, BenchError> {
    let incoming = endpoint.accept().await.ok_or_else(|| BenchError::Baseline("closed".into()))?;
    incoming.await.map_err(BenchError::baseline)
}

/// A stream to the other end, which takes it with [`accept_stream`].
pub(crate) async fn open_stream(connection: &Connection) -> Result<SendStream, BenchError> {
    let mut send = connection.open_uni().await.map_err(BenchError::baseline)?;
    // The peer learns of a stream by its first byte.
    send.write_all(&[0]).await.map_err(BenchError::baseline)?;
    Ok(send)
}

/// The next stream that the other end opens.
pub(crate) async fn accept_stream(connection: &Connection) -> Result<RecvStream, BenchError> {
    let mut recv = connection.accept_uni().await.map_err(BenchError::baseline)?;
    recv.read_exact(&mut [0]).await.map_err(BenchError::baseline)?;
    Ok(recv)
}

/// A socket with large buffers, and quinn on it; within the runtime that shall drive it.
pub(crate) fn endpoint(
    tuning: Tuning,
    at: SocketAddr,
    server: Option<ServerConfig>,
) -> Result<Endpoint, BenchError> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(bytes) = tuning.socket_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(&at.into())?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(tuning.mtu_bytes).map_err(BenchError::baseline)?;
    Ok(Endpoint::new(config, server, socket.into(), Arc::new(TokioRuntime))?)
}

/// As many bytes of a socket's buffers as the system allows, of so many.
pub(crate) fn allowed_buffer_bytes(wanted: usize) -> Result<usize, BenchError> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Some systems refuse what is above their limit, others give less.
    if socket.set_recv_buffer_size(wanted).and(socket.set_send_buffer_size(wanted)).is_err() {
        return Ok(wanted.min(socket.recv_buffer_size()?).min(socket.send_buffer_size()?));
    }
    // Linux says twice as much, for what it needs itself.
    let own = if cfg!(target_os = "linux") { 2 } else { 1 };
    Ok(wanted.min(socket.recv_buffer_size()? / own).min(socket.send_buffer_size()? / own))
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Both sides' settings, with a certificate that is made for this run.
fn configs(
    tuning: Tuning,
    resumes: bool,
) -> Result<(ServerConfig, ClientConfig, Arc<Certificates>), AnyError> {
    let (server, certificate) = server_config_with(tuning, resumes)?;
    let (client, certificates) = client_config_with(tuning, certificate, resumes)?;
    Ok((server, client, certificates))
}

/// The settings of the side that listens, and the certificate that it shows, made for this run.
pub(crate) fn server_config(tuning: Tuning) -> Result<(ServerConfig, CertificateDer<'static>), AnyError> {
    server_config_with(tuning, false)
}

/// The settings of the side that dials and trusts this certificate.
pub(crate) fn client_config(
    tuning: Tuning,
    certificate: CertificateDer<'static>,
) -> Result<ClientConfig, AnyError> {
    client_config_with(tuning, certificate, false).map(|(client, _)| client)
}

fn server_config_with(
    tuning: Tuning,
    resumes: bool,
) -> Result<(ServerConfig, CertificateDer<'static>), AnyError> {
    let issued = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate: CertificateDer<'static> = issued.cert.into();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let mut tls = rustls::ServerConfig::builder_with_provider(tuning.cipher.provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    if resumes {
        tls.max_early_data_size = u32::MAX;
    }
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    server.transport_config(Arc::new(tuning.transport()));
    Ok((server, certificate))
}

fn client_config_with(
    tuning: Tuning,
    certificate: CertificateDer<'static>,
    resumes: bool,
) -> Result<(ClientConfig, Arc<Certificates>), AnyError> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let provider = tuning.cipher.provider();
    let usual = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build()?;
    let certificates = Arc::new(Certificates::new(usual));
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&certificates) as _)
        .with_no_client_auth();
    if resumes {
        tls.enable_early_data = true;
    } else {
        tls.resumption = Resumption::disabled();
    }
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    client.transport_config(Arc::new(tuning.transport()));
    Ok((client, certificates))
}
