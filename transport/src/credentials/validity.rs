//! From when until when a certificate counts.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

const DAY: Duration = Duration::from_hours(24);

/// A span of time, with a resolution of seconds, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    /// Not valid before.
    pub from: SystemTime,
    /// Not valid after.
    pub until: SystemTime,
}

impl Validity {
    /// How much earlier than now a fresh certificate begins, so that peers whose clocks are behind
    /// take it at once.
    pub const BACKDATED: Duration = Duration::from_hours(1);

    /// Valid at once and for so many days. Ten years for an authority and one for the rest are
    /// usual.
    pub fn days(days: u32) -> Self {
        let now = SystemTime::now();
        Self { from: now - Self::BACKDATED, until: now + DAY * days }
    }

    /// Reads the span from a certificate.
    pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
        let time = |stamp: i64| {
            let seconds = u64::try_from(stamp).map_err(|_| "its validity begins before 1970".to_owned())?;
            Ok::<_, String>(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        };
        let validity = parsed.validity();
        Ok(Self {
            from: time(validity.not_before.timestamp())?,
            until: time(validity.not_after.timestamp())?,
        })
    }

    /// The part of this span that lies in another one.
    pub(super) fn within(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }
}
