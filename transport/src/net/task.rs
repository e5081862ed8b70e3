//! Work on the transport's runtime for a caller on any other.

use std::{
    panic,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{runtime::Handle, task::JoinHandle};

/// A future that runs on a given runtime and is aborted when nobody waits for it any more.
///
/// Sockets and timers belong to the runtime on which they are made: a link that is dialled from an
/// actor's thread must not die with that thread.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    pub(crate) fn spawn(on: &Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(on.spawn(work))
    }
}

impl<T> Future for Task<T> {
    /// `None` if the runtime has been shut down.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(output) => Poll::Ready(Some(output)),
            Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
            Err(_) => Poll::Ready(None),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
