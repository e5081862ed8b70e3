//! How a command ends that did not succeed.

use std::{error::Error, io, path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    address::AddressError, authority::AuthorityError, config::ConfigError, metrics::MetricsError,
    profile::ProfileError, span,
};

/// Why a command failed. Its text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command cannot do what its arguments ask for.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers on a subject.
    #[error(
        "nobody answers on `{subject}`: start somebody, for example `quorate reply {subject} --exec cat`"
    )]
    NoResponders {
        /// The subject of the request.
        subject: String,
    },
    /// Something took too long.
    #[error("{what} did not come within {}: look at `quorate status`, or wait longer with --timeout", span::show(*.after))]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
    },
    /// Nothing came for too long.
    #[error("{what} did not come within {}: is anybody publishing? wait longer with --idle", span::show(*.after))]
    Idle {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
    },
    /// The reader of standard output has gone: a quiet end, as with any command in a pipe.
    #[error("standard output is closed")]
    OutputClosed,
    /// The operating system refused something.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done, as in `cannot read`.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard input or output, or a signal, cannot be used.
    #[error("{0}")]
    Io(&'static str, #[source] io::Error),
    /// The node's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Where to find the cluster.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Nothing can listen at an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The figures for Prometheus.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Certificates and keys.
    #[error(transparent)]
    Credentials(#[from] quorate::transport::CredentialError),
    /// The files of a cluster's authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A node cannot begin its life.
    #[error(transparent)]
    Life(#[from] quorate::LifeError),
    /// The node cannot listen.
    #[error(transparent)]
    Bind(#[from] quorate::transport::BindError),
    /// The node does not start.
    #[error(transparent)]
    Start(#[from] quorate::StartError),
    /// What was asked for could not be done; the text says why and what helps.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// The exit code for scripts, as the help text lists them.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::OutputClosed => 0,
            Self::Usage(_) => 2,
            Self::NoResponders { .. } | Self::TimedOut { .. } | Self::Idle { .. } => 3,
            _ => 1,
        })
    }

    /// The whole story in one line, or nothing if there is nothing to say.
    pub(crate) fn line(&self) -> Option<String> {
        if matches!(self, Self::OutputClosed) {
            return None;
        }
        Some(one_line(self))
    }
}

/// An error and what caused it, on one line.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        // Some errors repeat their cause in their own text.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_on_the_same_line() {
        let source = io::Error::new(io::ErrorKind::PermissionDenied, "permission\ndenied");
        let failure = Failure::File { doing: "cannot read", path: "a/b".into(), source };
        assert_eq!(failure.line().as_deref(), Some("cannot read a/b: permission denied"));
    }

    #[test]
    fn a_closed_pipe_is_no_failure_to_speak_of() {
        assert_eq!(Failure::OutputClosed.line(), None);
        assert_eq!(Failure::OutputClosed.exit_code(), ExitCode::SUCCESS);
    }
}
