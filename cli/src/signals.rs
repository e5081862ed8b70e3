//! What others want of this process: to stop (Ctrl-C or a polite signal), or to read its credentials
//! again.

use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Failure;

/// Waits for a signal that asks this process to stop.
#[derive(Debug)]
pub(crate) struct Wish(Vec<Signal>);

impl Wish {
    /// Listens for SIGINT and SIGTERM from now on; they end this process no more by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self(vec![listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?]))
    }

    /// Listens for SIGHUP as well: a terminal that is closed is a wish, too.
    pub(crate) fn listen_with_terminal() -> Result<Self, Failure> {
        let Self(mut signals) = Self::listen()?;
        signals.push(listen(SignalKind::hangup())?);
        Ok(Self(signals))
    }

    /// Returns when somebody wants this process to stop.
    pub(crate) async fn come(&mut self) {
        select_all(self.0.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    }
}

/// Waits for SIGHUP.
#[derive(Debug)]
pub(crate) struct Hangup(Signal);

impl Hangup {
    /// Listens from now on; the signal ends this process no more by itself.
    pub(crate) fn listen() -> Result<Self, Failure> {
        listen(SignalKind::hangup()).map(Self)
    }

    /// Returns when the signal has come, once for several that came meanwhile.
    pub(crate) async fn come(&mut self) {
        self.0.recv().await;
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Io("cannot listen for signals", error))
}
