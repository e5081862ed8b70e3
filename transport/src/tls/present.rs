//! The credentials of a transport, which may be replaced while it runs.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use super::Tls;
use crate::{CredentialError, Credentials, Serial};

/// What a transport shows and judges by at present. Each handshake takes it once, so that it is not
/// replaced amid one.
#[derive(Debug)]
pub(crate) struct Present(RwLock<Arc<Tls>>);

impl Present {
    pub(crate) fn new(credentials: Credentials) -> Result<Self, CredentialError> {
        Ok(Self(RwLock::new(Arc::new(Tls::new(credentials)?))))
    }

    pub(crate) fn get(&self) -> Arc<Tls> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the credentials by others of the same holder that are valid now.
    pub(crate) fn replace(&self, credentials: Credentials) -> Result<(), CredentialError> {
        let (wanted, found) = (self.get().credentials().identity().clone(), credentials.identity().clone());
        if wanted != found {
            let (wanted, found) = (Box::new(wanted), Box::new(found));
            return Err(CredentialError::OtherHolder { wanted, found });
        }
        credentials.check(SystemTime::now())?;
        let tls = Arc::new(Tls::new(credentials)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tls;
        Ok(())
    }

    pub(crate) fn is_revoked(&self, serial: &Serial) -> bool {
        self.get().credentials().revoked().contains(serial)
    }
}
