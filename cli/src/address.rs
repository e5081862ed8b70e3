//! Addresses of this machine, and why nothing can listen at one.

use std::{fmt, io, net::SocketAddr};

/// Why an address cannot be listened at. Its text says what helps.
#[derive(Debug)]
pub(crate) struct AddressError {
    addr: SocketAddr,
    why: io::Error,
}

impl AddressError {
    /// What the system said when the address was bound.
    pub(crate) const fn new(addr: SocketAddr, why: io::Error) -> Self {
        Self { addr, why }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addr, why } = self;
        match why.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "{addr} is in use: stop what listens there, or choose another port")
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "{addr} is no address of this machine: choose one of its own")
            }
            io::ErrorKind::PermissionDenied => {
                write!(f, "no permission for {addr}: choose a port above 1023")
            }
            _ => write!(f, "{addr} cannot be used: {why}"),
        }
    }
}

impl std::error::Error for AddressError {}

/// Reads an address with a port.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    let wrong = |_| format!("`{text}` is not an address with a port: write for example 127.0.0.1:4610");
    text.parse().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_address() {
        assert_eq!(parse("[::1]:4610"), Ok(([0, 0, 0, 0, 0, 0, 0, 1], 4610).into()));
        assert!(parse("localhost:4610").unwrap_err().starts_with("`localhost:4610` is not an address"));
    }

    #[test]
    fn each_reason_comes_with_what_helps() {
        let text = |kind: io::ErrorKind| {
            AddressError::new("127.0.0.1:80".parse().unwrap(), io::Error::from(kind)).to_string()
        };
        assert!(text(io::ErrorKind::AddrInUse).ends_with("choose another port"));
        assert!(text(io::ErrorKind::AddrNotAvailable).ends_with("choose one of its own"));
        assert!(text(io::ErrorKind::PermissionDenied).ends_with("choose a port above 1023"));
        assert_eq!(
            text(io::ErrorKind::OutOfMemory),
            format!("127.0.0.1:80 cannot be used: {}", io::Error::from(io::ErrorKind::OutOfMemory))
        );
    }
}
