//! The wish to stop: Ctrl-C, or a polite signal.

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
        let listen = |kind| signal(kind).map_err(|error| Failure::Io("cannot listen for signals", error));
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
