//! What others want of this process: to stop (Ctrl-C or a polite signal), or to read its credentials
//! again.

use std::io::{IsTerminal, stderr, stdin, stdout};

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

/// What is wanted of a process that somebody started by hand and that may run for long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    /// To stop.
    Stop,
    /// To read its credentials again.
    Reload,
}

/// Waits for a wish to stop and for SIGHUP, which means two things: that the terminal was closed, or
/// that somebody wants the credentials read again, as of any server.
#[derive(Debug)]
pub(crate) struct Calls {
    wish: Wish,
    hangup: Hangup,
    // Standard input, output and error, as far as they were terminals in the beginning.
    terminals: [bool; 3],
}

impl Calls {
    /// Listens from now on; none of the signals ends this process any more by itself.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self { wish: Wish::listen()?, hangup: Hangup::listen()?, terminals: terminals() })
    }

    /// Returns when somebody wants something of this process.
    pub(crate) async fn come(&mut self) -> Call {
        tokio::select! {
            () = self.wish.come() => Call::Stop,
            // A terminal that was closed is none any more by the time its signal comes.
            () = self.hangup.come() => if self.terminals == terminals() { Call::Reload } else { Call::Stop },
        }
    }

    /// Returns when somebody wants this process to stop.
    pub(crate) async fn stop(&mut self) {
        while self.come().await != Call::Stop {}
    }
}

fn terminals() -> [bool; 3] {
    [stdin().is_terminal(), stdout().is_terminal(), stderr().is_terminal()]
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Io("cannot listen for signals", error))
}
