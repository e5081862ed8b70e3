//! The threads on which the nodes of a case run.

use std::{future::Future, io, thread, time::Duration};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::BenchError;

/// The threads on which the nodes of a case run, the same for both sides of it.
#[derive(Debug)]
pub(crate) struct Stage {
    runtimes: Vec<Runtime>,
}

impl Stage {
    /// All nodes share `workers` threads: what the most throughput was measured with.
    pub(crate) fn shared(workers: usize) -> Result<Self, BenchError> {
        Ok(Self { runtimes: vec![runtime(workers)?] })
    }

    /// Each of the nodes has one thread of its own, so that every message wakes another thread, as
    /// it does between machines.
    pub(crate) fn thread_each(nodes: usize) -> Result<Self, BenchError> {
        Ok(Self { runtimes: (0..nodes).map(|_| runtime(1)).collect::<io::Result<_>>()? })
    }

    /// Where a node runs.
    pub(crate) fn node(&self, index: usize) -> &Handle {
        self.runtimes[index % self.runtimes.len()].handle()
    }

    /// Runs a piece of a benchmark at a node and waits for it.
    pub(crate) async fn at<T: Send + 'static>(
        &self,
        index: usize,
        work: impl Future<Output = Result<T, BenchError>> + Send + 'static,
    ) -> Result<T, BenchError> {
        self.node(index).spawn(work).await.map_err(BenchError::task)?
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for runtime in self.runtimes.drain(..) {
            // Sockets are closed by their tasks; none of them blocks.
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Runs a benchmark on a thread of its own, wherever it was called from, and waits for it.
pub(crate) fn on_own_thread<T, F>(work: impl FnOnce() -> F + Send) -> Result<T, BenchError>
where
    T: Send,
    F: Future<Output = Result<T, BenchError>>,
{
    let run = || Builder::new_current_thread().enable_all().build()?.block_on(work());
    thread::scope(|scope| match scope.spawn(run).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// The same within an actix system, which the actors of nodes need.
pub(crate) fn in_system<T, F>(work: impl FnOnce() -> F + Send) -> Result<T, BenchError>
where
    T: Send,
    F: Future<Output = Result<T, BenchError>>,
{
    let run = || actix_rt::System::new().block_on(work());
    thread::scope(|scope| match scope.spawn(run).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn runtime(workers: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(workers).thread_name("bench").enable_all().build()
}
