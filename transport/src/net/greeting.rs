//! The hellos, and who the peer then is.

use std::net::SocketAddr;

use bytes::Bytes;
use quorate_membership::Member;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    ConnectError, Endpoint, Hello, Identity, PeerInfo, Refusal, Role,
    codec::{
        Agreed, Greeting, HELLO_PREFIX_BYTES, HelloError, agree, decode_hello, encode_hello, hello_bytes,
    },
};

/// Says what this side is, and judges what a peer says.
#[derive(Debug)]
pub(crate) struct Greeter {
    identity: Identity,
    greeting: Greeting,
    encoded: Bytes,
    clients_welcome: bool,
}

impl Greeter {
    pub(crate) fn new(
        identity: Identity,
        greeting: Greeting,
        clients_welcome: bool,
    ) -> Result<Self, HelloError> {
        let encoded = encode_hello(&greeting)?;
        Ok(Self { identity, greeting, encoded, clients_welcome })
    }

    /// The hello of this side, as it is sent.
    pub(crate) fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Judges whom this side has dialled by the certificate, before anything is said.
    pub(crate) fn check_dialled(&self, to: &Endpoint, found: &Identity) -> Result<(), ConnectError> {
        let addr = to.addr;
        if let Some(wanted) = to.node.filter(|wanted| *wanted != found.node) {
            return Err(ConnectError::WrongNode { addr, wanted, found: found.node });
        }
        if *found == self.identity {
            return Err(ConnectError::Handshake { addr, why: Refusal::OwnIdentity.to_string() });
        }
        Ok(())
    }

    /// Comes to an agreement with a node that this side has dialled.
    pub(crate) fn meet_dialled(
        &self,
        identity: &Identity,
        theirs: &Greeting,
        addr: SocketAddr,
    ) -> Result<PeerInfo, ConnectError> {
        let agreed = agree(&self.greeting, theirs).map_err(|disagreement| disagreement.at(addr))?;
        Ok(describe(identity, &theirs.hello, agreed, addr, false))
    }

    /// Judges who has dialled this side by the certificate, before anything is said.
    pub(crate) fn check_dialler(&self, identity: &Identity) -> Result<(), Refusal> {
        if identity.role == Role::Client && !self.clients_welcome {
            return Err(Refusal::ClientsNotWelcome);
        }
        if *identity == self.identity {
            return Err(Refusal::OwnIdentity);
        }
        Ok(())
    }

    /// Comes to an agreement with a peer that has dialled this side.
    pub(crate) fn meet_dialler(
        &self,
        identity: &Identity,
        theirs: &Greeting,
        addr: SocketAddr,
    ) -> Result<PeerInfo, Refusal> {
        let agreed = agree(&self.greeting, theirs).map_err(Refusal::Disagreement)?;
        Ok(describe(identity, &theirs.hello, agreed, addr, true))
    }
}

fn describe(
    identity: &Identity,
    theirs: &Hello,
    agreed: Agreed,
    addr: SocketAddr,
    dialed_us: bool,
) -> PeerInfo {
    PeerInfo {
        member: Member::new(identity.node, theirs.incarnation),
        role: identity.role,
        version: agreed.version,
        features: agreed.features,
        addr,
        // Whatever a client says: nobody dials it.
        listens: theirs.listens.filter(|_| identity.role == Role::Node),
        dialed_us,
    }
}

/// Reads a hello. It fails with [`Refusal::BadHello`], also when the stream ends or breaks: callers
/// that know why it broke say that instead.
pub(crate) async fn read_hello(stream: &mut (impl AsyncRead + Unpin)) -> Result<Greeting, Refusal> {
    let bad = |error: &dyn std::fmt::Display| Refusal::BadHello(error.to_string());
    let mut prefix = [0; HELLO_PREFIX_BYTES];
    stream.read_exact(&mut prefix).await.map_err(|error| bad(&error))?;
    let mut body = vec![0; hello_bytes(prefix).map_err(|error| bad(&error))?];
    stream.read_exact(&mut body).await.map_err(|error| bad(&error))?;
    decode_hello(&body).map_err(|error| bad(&error))
}
