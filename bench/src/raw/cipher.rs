//! Who encrypts, and how.

use std::{fmt, sync::Arc};

use rustls::{
    CipherSuite,
    crypto::{CryptoProvider, aws_lc_rs},
};

/// A library of cryptography, and the cipher that it has to use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cipher {
    library: Library,
    suite: CipherSuite,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Library {
    AwsLcRs,
    #[cfg(feature = "ring")]
    Ring,
}

impl Cipher {
    /// What quorate's own connections prefer.
    pub(crate) const CHOSEN: Self =
        Self { library: Library::AwsLcRs, suite: CipherSuite::TLS13_AES_128_GCM_SHA256 };

    /// What could be had in its place.
    pub(crate) const OTHERS: &[Self] = &[
        #[cfg(feature = "ring")]
        Self { library: Library::Ring, ..Self::CHOSEN },
        Self { suite: CipherSuite::TLS13_AES_256_GCM_SHA384, ..Self::CHOSEN },
        Self { suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, ..Self::CHOSEN },
    ];

    pub(super) fn provider(self) -> Arc<CryptoProvider> {
        let mut provider = match self.library {
            Library::AwsLcRs => aws_lc_rs::default_provider(),
            #[cfg(feature = "ring")]
            Library::Ring => rustls::crypto::ring::default_provider(),
        };
        // QUIC's first packets need AES-128 whatever is agreed on afterwards; what comes first is preferred.
        let needed = [self.suite, CipherSuite::TLS13_AES_128_GCM_SHA256];
        provider.cipher_suites.retain(|suite| needed.contains(&suite.suite()));
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != self.suite);
        Arc::new(provider)
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let library = match self.library {
            Library::AwsLcRs => "aws-lc-rs",
            #[cfg(feature = "ring")]
            Library::Ring => "ring",
        };
        let suite = match self.suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => "AES-128-GCM",
            CipherSuite::TLS13_AES_256_GCM_SHA384 => "AES-256-GCM",
            _ => "ChaCha20-Poly1305",
        };
        write!(f, "{suite} of {library}")
    }
}
