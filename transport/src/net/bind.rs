//! Taking an address.

use std::{io, net::SocketAddr, sync::Once};

use socket2::SockRef;

use super::{ConnectionConfig, Greeter};
use crate::{
    CredentialError, Credentials, Hello, Role,
    codec::{Greeting, HelloError},
};

/// Why a transport could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{0} is in use: stop what listens there, or choose another port")]
    AddressInUse(SocketAddr),
    /// The address belongs to no interface of this machine.
    #[error("{0} is no address of this machine")]
    AddressNotAvailable(SocketAddr),
    /// Ports below 1024 and some others are reserved.
    #[error("no permission to listen at {0}: choose a port above 1023")]
    Permission(SocketAddr),
    /// The operating system refused for another reason.
    #[error("{addr} cannot be listened at")]
    Io {
        /// The address.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The hello names another cluster than the certificate.
    #[error("the configuration is for cluster {hello}, the certificate for cluster {certificate}")]
    Cluster {
        /// In the hello.
        hello: String,
        /// In the certificate.
        certificate: String,
    },
    /// A client does not accept links.
    #[error("a client does not listen: leave out the address, or use the certificate of a node")]
    ClientListens,
    /// The hello cannot be sent.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// Nothing would drive the sockets.
    #[error("a transport must be made within a tokio runtime")]
    NoRuntime,
}

impl BindError {
    pub(crate) fn io(addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse(addr),
            io::ErrorKind::AddrNotAvailable => Self::AddressNotAvailable(addr),
            io::ErrorKind::PermissionDenied => Self::Permission(addr),
            _ => Self::Io { addr, source },
        }
    }
}

/// Checks that credentials, hello and configuration belong together.
///
/// `bound` is where the socket listens; a hello that names port 0 gets the port from there.
pub(crate) fn checked_greeter(
    credentials: &Credentials,
    mut hello: Hello,
    bound: SocketAddr,
    config: &ConnectionConfig,
) -> Result<Greeter, BindError> {
    let identity = credentials.identity();
    if hello.cluster != identity.cluster.as_str() {
        let certificate = identity.cluster.to_string();
        return Err(BindError::Cluster { hello: hello.cluster, certificate });
    }
    if identity.role != Role::Node && hello.listens.is_some() {
        return Err(BindError::ClientListens);
    }
    if let Some(listens) = &mut hello.listens
        && listens.port() == 0
    {
        listens.set_port(bound.port());
    }
    let greeting = Greeting { hello, limits: config.frames().into() };
    Ok(Greeter::new(identity.clone(), greeting, config.clients_welcome())?)
}

/// Whether a socket at this address should take IPv4 as well.
pub(crate) fn is_dual_stack(addr: SocketAddr) -> bool {
    addr.is_ipv6() && addr.ip().is_unspecified()
}

/// Asks for buffers of this size, without which bursts are lost, and warns, once, if there are less.
pub(crate) fn size_buffers(socket: &SockRef<'_>, bytes: usize) {
    static WARNED: Once = Once::new();
    // A smaller buffer is slower, not wrong: the results are looked at, errors are not fatal.
    let _ = socket.set_send_buffer_size(bytes);
    let _ = socket.set_recv_buffer_size(bytes);
    // Linux counts its own overhead in and says twice what can be used.
    let usable = |size: usize| if cfg!(target_os = "linux") { size / 2 } else { size };
    let (send, receive) = (socket.send_buffer_size().map(usable), socket.recv_buffer_size().map(usable));
    if [&send, &receive].into_iter().any(|size| size.as_ref().is_ok_and(|size| *size < bytes)) {
        WARNED.call_once(|| {
            tracing::warn!(
                wanted_bytes = bytes,
                send_bytes = send.unwrap_or_default(),
                receive_bytes = receive.unwrap_or_default(),
                "the kernel gives smaller socket buffers: raise net.core.wmem_max and \
                 net.core.rmem_max, or expect lost packets under load"
            );
        });
    }
}
