//! `quorate cert ls`: what an authority has issued, and what became of it.

use std::{path::PathBuf, time::SystemTime};

use quorate::transport::Role;
use serde::Serialize;

use crate::{
    Failure,
    authority::{Authority, Certificate},
    output,
    span::{self, unix_seconds},
};

/// List the certificates that an authority has issued.
///
/// Of each: whose it is, whether of a node or of a client, its serial number, until when it is valid, and
/// whether it was revoked and since when. One that was revoked by its number without being noted has no
/// holder here. Times are UTC.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate cert ls
  quorate cert ls --ca safe --json")]
pub(super) struct Args {
    /// Folder of the authority.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    ca: PathBuf,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Valid,
    Expired,
    Revoked,
}

/// A certificate, for programs.
#[derive(Serialize)]
struct Listed {
    name: Option<String>,
    role: Option<&'static str>,
    identity: Option<String>,
    serial: String,
    valid_until_unix_s: Option<u64>,
    revoked_since_unix_s: Option<u64>,
    state: State,
}

/// Carries out `quorate cert ls`.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let now = unix_seconds(SystemTime::now());
    let certificates = Authority::load(&args.ca)?.certificates()?.into_iter();
    let listed: Vec<Listed> = certificates.map(|certificate| Listed::new(certificate, now)).collect();
    output::tell(args.json, &listed, |output| {
        if listed.is_empty() {
            return output.line("nothing was issued yet: `quorate cert issue` makes credentials");
        }
        let mut rows = vec![["name", "role", "serial number", "valid until", "state"].map(str::to_owned)];
        rows.extend(listed.iter().map(Listed::row));
        output.lines(output::table(&rows))
    })
}

impl Listed {
    fn new(certificate: Certificate, now_unix_s: u64) -> Self {
        let Certificate { serial, issued, revoked } = certificate;
        let role = |role| if role == Role::Node { "node" } else { "client" };
        let valid_until_unix_s = issued.as_ref().map(|it| unix_seconds(it.until));
        let state = match (revoked, valid_until_unix_s) {
            (Some(_), _) => State::Revoked,
            (None, Some(until)) if until < now_unix_s => State::Expired,
            _ => State::Valid,
        };
        Self {
            role: issued.as_ref().map(|it| role(it.identity.role)),
            identity: issued.as_ref().map(|it| it.identity.to_string()),
            name: issued.map(|it| it.name),
            serial: serial.to_string(),
            valid_until_unix_s,
            revoked_since_unix_s: revoked.map(unix_seconds),
            state,
        }
    }

    fn row(&self) -> [String; 5] {
        let known = |text: Option<&str>| text.unwrap_or("unknown").to_owned();
        let until = self.valid_until_unix_s.map(span::moment);
        let state = match (self.state, self.revoked_since_unix_s) {
            (State::Revoked, Some(since)) => format!("revoked since {}", span::moment(since)),
            (State::Expired, _) => "expired".to_owned(),
            _ => "valid".to_owned(),
        };
        [known(self.name.as_deref()), known(self.role), self.serial.clone(), known(until.as_deref()), state]
    }
}
