//! A process that is alone on its host.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    marker::PhantomData,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use crate::BenchError;

/// How long a host may take for what is not a round.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a host has to itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Own {
    /// Nothing but a process.
    Nothing,
    /// The network.
    Network,
    /// The network, what is mounted where, and the numbers of processes: what the host has started ends with it.
    All,
}

/// A process that is alone on its host, which the kernel takes away with it. It answers each order with one line.
#[derive(Debug)]
pub(crate) struct Host<A> {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::UnboundedReceiver<String>,
    _answers: PhantomData<A>,
}

impl<A: DeserializeOwned> Host<A> {
    /// Starts this command on a host of its own, and waits until it says that it is ready.
    pub(crate) async fn start(program: &Path, args: &[&str], own: Own) -> Result<Self, BenchError> {
        let apart: &[&str] = match own {
            Own::Nothing => &[],
            Own::Network => &["unshare", "--net"],
            Own::All => &["unshare", "--net", "--pid", "--mount-proc", "--kill-child"],
        };
        let line: Vec<&OsStr> = apart.iter().map(OsStr::new).chain([program.as_os_str()]).collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let gone = || BenchError::ours("a host has no input or output");
        let (orders, output) = (child.stdin.take().ok_or_else(gone)?, child.stdout.take().ok_or_else(gone)?);
        let answers = lines(output);
        let mut host = Self { child, orders, answers, _answers: PhantomData };
        host.answer(PATIENCE).await?;
        Ok(host)
    }

    /// The number of its process, which names its network.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Has it carry out an order, for which it may take so long.
    pub(crate) async fn ask(&mut self, order: &impl Serialize, patience: Duration) -> Result<A, BenchError> {
        let line = serde_json::to_string(order).map_err(BenchError::ours)?;
        writeln!(self.orders, "{line}")?;
        self.answer(patience).await
    }

    async fn answer(&mut self, patience: Duration) -> Result<A, BenchError> {
        let answer = tokio::time::timeout(patience, self.answers.recv()).await;
        match answer.map_err(|_| BenchError::Stuck(patience))? {
            Some(line) => {
                let answer: Result<A, String> = serde_json::from_str(&line)
                    .map_err(|error| BenchError::Ours(format!("a host answered {line}: {error}")))?;
                answer.map_err(BenchError::Ours)
            }
            None => Err(BenchError::ours("a host has ended")),
        }
    }
}

impl<A> Drop for Host<A> {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that a process writes, as they come.
pub(crate) fn lines(output: impl Read + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (tell, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody reads when all is measured.
            let _ = tell.send(line);
        }
    });
    lines
}

/// The numbers of the processes that the threads of a process have started; none where the system does not tell.
pub(crate) fn children(process: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let started = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    started.flat_map(|all| all.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_started_by_a_thread_is_a_child_of_its_process() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let number = child.id().to_string();
        assert!(children("self").contains(&number));
        child.kill().expect("it runs");
        child.wait().expect("it has ended");
        assert!(!children("self").contains(&number));
    }
}
