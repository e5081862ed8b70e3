//! Connections that were closed here, until their peers know.

use std::time::Duration;

use quinn::Connection;
use tokio::{
    runtime::Handle,
    sync::watch,
    time::{sleep, timeout},
};

use super::LINGER;

/// The longest pause between two looks at a connection. It starts with a millisecond, about a round
/// trip where nodes are near each other, and doubles.
const PAUSE_MOST: Duration = Duration::from_millis(16);

/// Counts the links that were closed here and whose peers have not confirmed it yet.
///
/// Who stops the runtime, or the process, right after a link is closed would take the packet that
/// says so with it, and the peer would find out by its idle time-out only. Connections that never
/// became links are not counted: whoever is dialled at a dead address confirms nothing.
#[derive(Clone, Debug)]
pub(super) struct Departures {
    runtime: Handle,
    pending: watch::Sender<usize>,
}

/// One of those that are counted.
struct Departure(watch::Sender<usize>);

impl Departures {
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime, pending: watch::Sender::new(0) }
    }

    /// Counts a connection that was just closed, until its peer confirms it or [`LINGER`] is over.
    pub(super) fn see_off(&self, connection: Connection) {
        self.pending.send_modify(|pending| *pending += 1);
        let departure = Departure(self.pending.clone());
        self.runtime.spawn(async move {
            let _ = timeout(LINGER, confirmed(&connection)).await;
            drop(departure);
        });
    }

    /// How many are counted.
    #[cfg(test)]
    pub(super) fn pending(&self) -> usize {
        *self.pending.borrow()
    }

    /// Waits until none is counted.
    pub(super) async fn over(&self) {
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.0.send_modify(|pending| *pending -= 1);
    }
}

/// Waits until the peer's own close has come. quinn counts it and tells nobody, so one has to look.
async fn confirmed(connection: &Connection) {
    let mut pause = Duration::from_millis(1);
    while connection.stats().frame_rx.connection_close == 0 {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MOST);
    }
}
