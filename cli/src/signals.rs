//! What others want of this process: to stop (Ctrl-C or a polite signal), or to read its credentials
//! again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Failure;

/// Waits for SIGINT or SIGTERM.
#[derive(Debug)]
pub(crate) struct Wish {
    interrupt: Signal,
    terminate: Signal,
}

impl Wish {
    /// Listens from now on; the signals end this process no more by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Returns when somebody wants this process to stop.
    pub(crate) async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
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
