//! The socket, and how quinn is to use it.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use quinn::{
    EndpointConfig, IdleTimeout, MtuDiscoveryConfig, Runtime, ServerConfig, TokioRuntime, TransportConfig,
    VarInt, crypto::rustls::QuicServerConfig,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{
    congestion::{CloseSignal, Control},
    lossy::LossySocket,
};
use crate::{
    BindError, Congestion, ConnectionConfig,
    faults::PacketLoss,
    net::{is_dual_stack, size_buffers},
    tls::{Tls, Verdict},
};

/// Largest UDP payload. Loopback and jumbo frames carry it and it more than doubles what quinn can
/// do; discovery finds out what the way carries. Not above 6550: the kernel is handed ten segments
/// at a time, which must fit into the 65,507 bytes that UDP can carry, or nothing goes through.
pub(super) const UDP_PAYLOAD_BYTES_MAX: u16 = 6500;

/// With this much no packet was lost on the way through the kernel; with its default, thousands.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// What a lane's window and congestion control are between nodes on one machine, whatever is configured: nothing is
/// far there and next to nothing lost, and what waits beyond this only leaves the processor's cache.
const WINDOW_BYTES_HERE: u32 = 1_250_000;
const CONGESTION_HERE: Congestion = Congestion::Cubic;

/// Takes a port. Without an address, any port on any interface, for dialling only.
pub(super) fn bind_socket(addr: Option<SocketAddr>) -> Result<(UdpSocket, SocketAddr), BindError> {
    if let Some(addr) = addr {
        return open(addr).map_err(|source| BindError::io(addr, source));
    }
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
    let without_ipv6 = SocketAddr::from(([0, 0, 0, 0], 0));
    open(any).or_else(|_| open(without_ipv6)).map_err(|source| BindError::io(any, source))
}

fn open(addr: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if is_dual_stack(addr) {
        socket.set_only_v6(false)?;
    }
    size_buffers(&SockRef::from(&socket), SOCKET_BUFFER_BYTES);
    socket.bind(&addr.into())?;
    let socket = UdpSocket::from(socket);
    let addr = socket.local_addr()?;
    Ok((socket, addr))
}

/// Starts driving the socket on the present runtime.
pub(super) fn start(
    socket: UdpSocket,
    listens: bool,
    tls: &Tls,
    connections: &ConnectionConfig,
    loss: Option<PacketLoss>,
) -> io::Result<quinn::Endpoint> {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(UDP_PAYLOAD_BYTES_MAX).map_err(io::Error::other)?;
    let anybody = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let server =
        listens.then(|| server_config(tls, connections, &Attempt::default(), anybody)).transpose()?;
    let runtime = Arc::new(TokioRuntime);
    let Some(loss) = loss else {
        return quinn::Endpoint::new(config, server, socket, runtime);
    };
    let socket = LossySocket::new(runtime.wrap_udp_socket(socket)?, loss);
    quinn::Endpoint::new_with_abstract_socket(config, server, Arc::new(socket), runtime)
}

/// What belongs to one connection from its first packet.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    pub(super) verdict: Arc<Verdict>,
    pub(super) closing: CloseSignal,
}

/// For one connection that is accepted; for the endpoint, to know that it accepts at all.
pub(super) fn server_config(
    tls: &Tls,
    connections: &ConnectionConfig,
    attempt: &Attempt,
    peer: IpAddr,
) -> io::Result<ServerConfig> {
    let mut config = ServerConfig::with_crypto(Arc::new(server_crypto(tls, &attempt.verdict)?));
    config.transport_config(Arc::new(transport_config(connections, &attempt.closing, peer)));
    Ok(config)
}

/// For one connection that is dialled.
pub(super) fn client_config(
    tls: &Tls,
    connections: &ConnectionConfig,
    attempt: &Attempt,
    peer: IpAddr,
) -> io::Result<quinn::ClientConfig> {
    let crypto = tls.dialling(&attempt.verdict).map_err(io::Error::other)?;
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(crypto).map_err(io::Error::other)?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config(connections, &attempt.closing, peer)));
    Ok(config)
}

fn server_crypto(tls: &Tls, verdict: &Arc<Verdict>) -> io::Result<QuicServerConfig> {
    let crypto = tls.accepting(verdict).map_err(io::Error::other)?;
    QuicServerConfig::try_from(crypto).map_err(io::Error::other)
}

/// Windows, time-outs and packet sizes.
fn transport_config(config: &ConnectionConfig, closing: &CloseSignal, peer: IpAddr) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(UDP_PAYLOAD_BYTES_MAX);
    let idle = VarInt::from_u32(config.idle_timeout().as_millis() as u32);
    let (mut window, mut congestion) = (config.lane_window_bytes(), config.congestion());
    if peer.to_canonical().is_loopback() {
        (window, congestion) = (window.min(WINDOW_BYTES_HERE), CONGESTION_HERE);
    }
    let lanes = config.lanes_max();
    let datagrams = config.datagram_queue_bytes();
    let control = Control { congestion, closing: closing.clone() };

    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(idle)))
        .keep_alive_interval(Some(config.keep_alive()))
        .mtu_discovery_config(Some(mtu))
        .max_concurrent_bidi_streams(VarInt::from_u32(1)) // The hellos.
        .max_concurrent_uni_streams(VarInt::from_u32(lanes))
        .stream_receive_window(VarInt::from_u32(window))
        // What a connection may hold is lanes times window. A smaller limit for all of them together
        // could be used up by lanes that nobody reads, and then hold up control; the same goes for
        // what is sent and not acknowledged.
        .receive_window(VarInt::MAX)
        .send_window(u64::from(window) * u64::from(lanes))
        .datagram_receive_buffer_size(Some(datagrams))
        .datagram_send_buffer_size(datagrams)
        .congestion_controller_factory(Arc::new(control));
    transport
}
