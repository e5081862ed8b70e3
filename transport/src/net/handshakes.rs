//! Handshakes in progress with peers that have dialled this side.

use std::{collections::VecDeque, net::SocketAddr};

use tokio::task::AbortHandle;

use crate::Refusal;

/// Bounds the handshakes in progress. When one more comes, the oldest is given up: an honest one
/// takes a few round trips, so whoever has taken longest is the one to suspect. Turning away the
/// newcomer instead would let a few silent peers keep everybody out.
#[derive(Debug)]
pub(crate) struct Handshakes {
    limit: usize,
    oldest_first: VecDeque<(SocketAddr, AbortHandle)>,
}

impl Handshakes {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, oldest_first: VecDeque::new() }
    }

    /// Makes room and starts one. Must be called within a runtime.
    pub(crate) fn start(&mut self, addr: SocketAddr, handshake: impl Future<Output = ()> + Send + 'static) {
        self.oldest_first.retain(|(_, task)| !task.is_finished());
        while self.oldest_first.len() >= self.limit
            && let Some((addr, task)) = self.oldest_first.pop_front()
        {
            task.abort();
            Refusal::TooSlow.report(addr);
        }
        self.oldest_first.push_back((addr, tokio::spawn(handshake).abort_handle()));
    }

    /// How many are in progress, counting those that have just ended.
    pub(crate) fn len(&self) -> usize {
        self.oldest_first.len()
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        for (_, task) in &self.oldest_first {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_oldest_makes_room_for_the_newest() {
        let addr = "127.0.0.1:1".parse().unwrap();
        let mut handshakes = Handshakes::new(2);
        let silent = |alive: oneshot::Sender<()>| async move {
            pending::<()>().await;
            drop(alive);
        };
        let (first, of_first) = oneshot::channel();
        let (second, mut of_second) = oneshot::channel();
        let (done, of_third) = oneshot::channel();
        handshakes.start(addr, silent(first));
        handshakes.start(addr, silent(second));
        handshakes.start(addr, async move { done.send(()).unwrap() });
        assert!(of_first.await.is_err(), "it was given up");
        assert!(of_third.await.is_ok(), "it went through");
        assert!(of_second.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        assert_eq!(handshakes.len(), 2);
        drop(handshakes);
        assert!(of_second.await.is_err(), "nothing is left behind");
    }
}
