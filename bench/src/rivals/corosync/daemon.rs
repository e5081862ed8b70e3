//! Corosync on a host, and a member of a closed process group: a program of its own, since the client of Corosync
//! is a library of C.

use std::{
    fs,
    io::{ErrorKind, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    MEMBERS,
    cases::JUMBO,
    words::{Pace, Part, Work},
};
use crate::{
    BenchError,
    hosts::{PATIENCE, lines, run},
};

const SOURCE: &str = include_str!("member.c");
const CONFIG: &str = "corosync.conf";
const LOG: &str = "corosync.log";

/// Whether Corosync is here, and what to install if not. Makes the member's program in this folder.
pub(super) fn prepare(folder: &Path) -> Result<PathBuf, BenchError> {
    spoken("corosync", &["-v"], "Corosync is measured beside ours: install corosync and libcpg-dev")?;
    let (source, program) = (folder.join("member.c"), folder.join("member"));
    fs::write(&source, SOURCE)?;
    let (from, to) = (source.to_string_lossy(), program.to_string_lossy());
    let args = ["-O2", "-o", &*to, &*from, "-lcpg", "-lpthread"];
    let refused = spoken("cc", &args, "the client of Corosync is compiled with `cc`: install gcc")?;
    match refused {
        None => Ok(program),
        Some(why) => Err(BenchError::Missing(format!(
            "the client of Corosync cannot be compiled ({why}): install libcpg-dev"
        ))),
    }
}

/// Runs a command. Returns the first line of why it refused, if it did.
fn spoken(program: &str, args: &[&str], absent: &str) -> Result<Option<String>, BenchError> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| match error.kind() {
        ErrorKind::NotFound => BenchError::Missing(absent.into()),
        _ => BenchError::Io(error),
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("it does not say why").to_owned();
    Ok((!output.status.success()).then_some(first))
}

/// Writes what all daemons are told into a folder for each, and a secret that they share.
pub(super) fn configure(folder: &Path, addrs: &[Ipv4Addr], mtu: u16) -> Result<Vec<PathBuf>, BenchError> {
    let secret: Vec<u8> = (0..8).flat_map(|_| rand::random::<[u8; 32]>()).collect();
    let key = folder.join("authkey");
    fs::write(&key, secret)?;
    (1..=addrs.len())
        .map(|node| {
            let own = folder.join(format!("corosync{node}"));
            fs::create_dir(&own)?;
            fs::write(own.join(CONFIG), config(&own, &key, addrs, mtu))?;
            Ok(own)
        })
        .collect()
}

/// Short packets: as many on the way as Corosync advises at most, with which all three can send messages of 64 KiB
/// without a collapse to a third. With long ones its defaults were best.
fn config(own: &Path, key: &Path, addrs: &[Ipv4Addr], mtu: u16) -> String {
    let (own, key) = (own.display(), key.display());
    let window = 256_000 / u32::from(mtu);
    let tuned = if mtu < JUMBO {
        format!("\n  window_size: {window}\n  max_messages: {window}")
    } else {
        String::new()
    };
    let node = |(node, addr)| {
        format!("  node {{\n    ring0_addr: {addr}\n    nodeid: {node}\n    name: n{node}\n  }}\n")
    };
    let nodes = (1..).zip(addrs).map(node).collect::<Vec<_>>().concat();
    format!(
        "totem {{\n  version: 2\n  cluster_name: bench\n  transport: knet\n  crypto_cipher: aes256\n  \
         crypto_hash: sha256\n  keyfile: {key}{tuned}\n}}\nnodelist {{\n{nodes}}}\nquorum {{\n  provider: \
         corosync_votequorum\n}}\nsystem {{\n  state_dir: {own}\n}}\nlogging {{\n  to_stderr: no\n  to_syslog: \
         no\n  to_logfile: yes\n  logfile: {own}/{LOG}\n}}\n"
    )
}

/// A daemon and a member that uses it. Both end with the host.
#[derive(Debug)]
pub(super) struct Member {
    _processes: [Ended; 2],
    orders: ChildStdin,
    answers: mpsc::UnboundedReceiver<String>,
}

/// A process that is ended when this is dropped.
#[derive(Debug)]
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Member {
    /// Starts both, and waits until all members are in the group. The host has folders of its own for what they share
    /// in memory and for the lock that has one Corosync run only.
    pub(super) async fn enter(folder: &Path, program: &Path) -> Result<Self, BenchError> {
        for own in ["/dev/shm", "/run"] {
            run("mount", &["-t", "tmpfs", "tmpfs", own])?;
        }
        let quiet = || Stdio::null();
        let config = folder.join(CONFIG);
        let mut command = Command::new("corosync");
        command.arg("-f").arg("-c").arg(&config).stdin(quiet()).stdout(quiet()).stderr(quiet());
        let daemon = Ended(command.spawn()?);
        let mut command = Command::new(program);
        command.arg(MEMBERS.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(quiet());
        let mut member = Ended(command.spawn()?);
        let gone = || BenchError::baseline("the member has no input or output");
        let orders = member.0.stdin.take().ok_or_else(gone)?;
        let answers = lines(member.0.stdout.take().ok_or_else(gone)?);
        let mut entered = Self { _processes: [daemon, member], orders, answers };
        let answer = entered.answer(PATIENCE / 2).await;
        if answer.as_deref().is_ok_and(|said| said == "joined") {
            return Ok(entered);
        }
        let said = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
        let last = said.lines().last().unwrap_or("its log is empty");
        Err(BenchError::Baseline(format!("Corosync did not form a group ({answer:?}): {last}")))
    }

    pub(super) async fn round(
        &mut self,
        work: Work,
        sends: bool,
        length: Duration,
    ) -> Result<Part, BenchError> {
        let (sends, bytes, millis) = (u8::from(sends), work.message_bytes, length.as_millis());
        match work.pace {
            Pace::Full { .. } => writeln!(self.orders, "flow {sends} {} {bytes} {millis}", work.senders)?,
            Pace::Every(every) => {
                writeln!(self.orders, "paced {sends} {bytes} {} {millis}", every.as_micros())?;
            }
        }
        let line = self.answer(length + PATIENCE).await?;
        parse(&line).ok_or_else(|| BenchError::Baseline(format!("the member of Corosync answered {line}")))
    }

    async fn answer(&mut self, patience: Duration) -> Result<String, BenchError> {
        let answer = tokio::time::timeout(patience, self.answers.recv()).await;
        let answer = answer.map_err(|_| BenchError::Stuck(patience))?;
        answer.ok_or_else(|| BenchError::baseline("the member of Corosync has ended"))
    }
}

/// Reads what `member.c` writes.
fn parse(line: &str) -> Option<Part> {
    let numbers: Option<Vec<u64>> = line.split(' ').map(|number| number.parse().ok()).collect();
    let numbers = numbers?;
    let (&[sent, received, begun, over], latencies) = numbers.split_first_chunk()?;
    let [begun, over] = [begun, over].map(Duration::from_nanos);
    Some(Part { sent, received, begun, over, latencies: latencies.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_four_numbers_and_how_long_each_message_took() {
        let part = parse("2 4 1000 5000 7 8 9 10").expect("an answer");
        assert_eq!((part.sent, part.received, part.latencies), (2, 4, vec![7, 8, 9, 10]));
        assert_eq!((part.begun, part.over), (Duration::from_micros(1), Duration::from_micros(5)));
        assert!(parse("failed: cpg_join: 6").is_none() && parse("1 2 3").is_none());
    }

    #[test]
    fn a_configuration_names_every_node_and_is_tuned_for_short_packets() {
        let addrs = [Ipv4Addr::new(10, 95, 0, 1), Ipv4Addr::new(10, 95, 0, 2)];
        let short = config(Path::new("/own"), Path::new("/key"), &addrs, 1500);
        assert!(short.contains("ring0_addr: 10.95.0.2\n    nodeid: 2"), "{short}");
        assert!(short.contains("window_size: 170") && short.contains("crypto_cipher: aes256"), "{short}");
        assert!(!config(Path::new("/own"), Path::new("/key"), &addrs, 65_535).contains("window_size"));
    }
}
