//! `quorate doctor`: will this node start, and what follows from its configuration?

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use quorate::transport::Role;
use quorate::{
    GroupSpec, Life,
    membership::{Span, Timing},
    protocols::SlowPolicy,
};
use serde::Serialize;

use crate::{
    Failure,
    address::AddressError,
    config::{self, NodeFile},
    credentials,
    failure::one_line,
    metrics,
    output::{self, Output},
    span,
};

/// What the transport asks of a socket; with less, bursts of packets are lost.
const SOCKET_BYTES_WANTED: usize = 4 << 20;
/// A certificate that ends sooner is worth a warning.
const DAYS_ENOUGH: u64 = 14;

/// Check a node's configuration, and explain what follows from it.
///
/// Nothing is changed, and nothing is started. The exit code is 1 if the node could not start.
#[derive(Debug, clap::Args)]
#[command(after_help = config::help("quorate doctor --config n1.toml"))]
pub(crate) struct Args {
    /// The node's configuration.
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    text: String,
}

/// A span that follows from the configuration.
#[derive(Serialize)]
struct Derived {
    name: &'static str,
    span_ms: f64,
    reason: &'static str,
}

#[derive(Serialize)]
struct Report {
    findings: Vec<Finding>,
    timeouts: Vec<Derived>,
}

/// Carries out `quorate doctor`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let file = NodeFile::load(&args.config)?;
    let mut findings = vec![
        finding("configuration", configuration(&file, &args.config)),
        finding("credentials", credentials(&file)),
        finding("address", address(file.listen)),
        finding("data folder", data(file.data.as_deref())),
        finding("socket buffers", buffers(file.listen)),
    ];
    findings.extend(file.groups.iter().map(|group| finding("group", Ok(self::group(&group.spec)))));
    findings.extend(file.metrics.map(|addr| finding("metrics", metrics(addr))));
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
    let report = Report { findings, timeouts: timeouts(&file.timing) };
    output::tell(args.json, &report, |output| print(&report, &file.timing, output))?;
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Failed("the node cannot start: mend what failed above".into())),
        n => Err(Failure::Failed(format!("the node cannot start: mend the {n} things that failed above"))),
    }
}

fn finding(check: &'static str, found: Result<(Verdict, String), String>) -> Finding {
    let (verdict, text) = found.unwrap_or_else(|text| (Verdict::Failed, text));
    Finding { check, verdict, text }
}

fn configuration(file: &NodeFile, path: &Path) -> Result<(Verdict, String), String> {
    file.check().map_err(|error| one_line(&error))?;
    let (seeds, groups) = (count("seed", file.seeds.len()), count("group", file.groups.len()));
    Ok((Verdict::Ok, format!("{}: {seeds}, {groups}", path.display())))
}

fn count(what: &str, count: usize) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What a group is, and what becomes of its slow members.
fn group(spec: &GroupSpec) -> (Verdict, String) {
    let config = spec.config();
    let list = |items: Vec<String>| items.join(", ");
    let bound = match spec.subjects() {
        [] => String::new(),
        subjects => format!(", bound to {}", list(subjects.iter().map(ToString::to_string).collect())),
    };
    let state = if spec.has_state() { ", with the state of an application" } else { "" };
    let founders = list(config.founders.iter().map(ToString::to_string).collect());
    let group = format!("{} of {founders}, {} order{bound}{state}", spec.name(), config.order);
    let (lag_for, lag_bytes) = (span::show(config.lag_for), bytes(config.lag_bytes_max));
    let becomes = match config.slow {
        SlowPolicy::Demote => "becomes a learner until it keeps up",
        SlowPolicy::Evict => "is removed, and comes back later",
        _ => {
            let told = format!("{group}; members that lag are waited for, and told of after {lag_for}");
            return (Verdict::Ok, told);
        }
    };
    let told = format!(
        "{group}; a member that for {lag_for} does not catch up, or is more than {lag_bytes} behind, {becomes}"
    );
    let on_the_way = config.founders.len() * config.batch_bytes * config.frames_in_flight as usize;
    if config.lag_bytes_max <= on_the_way {
        return (Verdict::Ok, told);
    }
    let never = bytes(on_the_way);
    let why =
        format!("{told}; its founders have no more than {never} on the way, so lag_bytes never applies");
    (Verdict::Warning, why)
}

/// Bytes for people, exactly.
fn bytes(count: usize) -> String {
    match count {
        n if n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n % (1 << 10) == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

fn credentials(file: &NodeFile) -> Result<(Verdict, String), String> {
    let credentials = credentials::of_node(&file.credentials).map_err(|error| one_line(&error))?;
    credentials.check(SystemTime::now()).map_err(|error| one_line(&error))?;
    let identity = credentials.identity();
    if identity.role != Role::Node {
        return Err(format!(
            "{identity} is a client's certificate: issue one with `quorate cert issue --node`"
        ));
    }
    file.config(identity).map_err(|error| one_line(&error))?;
    let days = span::days_until(credentials.validity().until);
    let verdict = if days < DAYS_ENOUGH { Verdict::Warning } else { Verdict::Ok };
    Ok((verdict, format!("{} of cluster {}, valid for {days} days", identity.node, identity.cluster)))
}

fn address(addr: SocketAddr) -> Result<(Verdict, String), String> {
    match UdpSocket::bind(addr) {
        Ok(_) => Ok((Verdict::Ok, format!("{addr} is free"))),
        Err(error) => Err(AddressError::new(addr, error).to_string()),
    }
}

fn metrics(addr: SocketAddr) -> Result<(Verdict, String), String> {
    match TcpListener::bind(addr) {
        Ok(_) => {
            let (url, local) = (metrics::url(addr), addr.ip().is_loopback());
            let shown = if local { "" } else { "; whoever reaches it sees the members and groups" };
            Ok((Verdict::Ok, format!("{}{shown}", metrics::places(&url))))
        }
        Err(error) => Err(AddressError::new(addr, error).to_string()),
    }
}

fn data(folder: Option<&Path>) -> Result<(Verdict, String), String> {
    let Some(folder) = folder else {
        return Ok((Verdict::Ok, "none: this node forgets everything when it stops".into()));
    };
    check_writable(folder).map_err(|failure| one_line(&failure))?;
    Life::check(folder).map_err(|error| one_line(&error))?;
    Ok((Verdict::Ok, format!("{} is writable", folder.display())))
}

/// Makes sure that files can be made in a folder, or that the folder can be made. Leaves nothing.
pub(crate) fn check_writable(folder: &Path) -> Result<(), Failure> {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Failure::Failed(format!(
            "no permission to write into {}: change its owner or mode, or choose another data folder",
            existing.display()
        )),
        _ => Failure::File { doing: "cannot write into", path: existing.to_owned(), source },
    };
    if !existing.is_dir() {
        let what = format!("{} is not a folder: choose another data folder", existing.display());
        return Err(Failure::Failed(what));
    }
    tempfile::tempfile_in(existing).map_err(refused)?;
    Ok(())
}

fn buffers(addr: SocketAddr) -> Result<(Verdict, String), String> {
    let measure = || -> io::Result<(usize, usize)> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::DGRAM, None)?;
        socket.set_recv_buffer_size(SOCKET_BYTES_WANTED)?;
        socket.set_send_buffer_size(SOCKET_BYTES_WANTED)?;
        Ok((socket.recv_buffer_size()?, socket.send_buffer_size()?))
    };
    let (receive, send) = measure().map_err(|error| format!("sockets cannot be opened: {error}"))?;
    let kib = |bytes| bytes >> 10;
    if receive.min(send) >= SOCKET_BYTES_WANTED {
        return Ok((Verdict::Ok, format!("{} KiB to receive, {} KiB to send", kib(receive), kib(send))));
    }
    let limit = SOCKET_BYTES_WANTED;
    let text = format!(
        "{} KiB to receive, {} KiB to send, {} wanted: bursts may be lost and sent again; allow more with \
         `sysctl -w net.core.rmem_max={limit} net.core.wmem_max={limit}`",
        kib(receive),
        kib(send),
        kib(limit),
    );
    Ok((Verdict::Warning, text))
}

fn timeouts(timing: &Timing) -> Vec<Derived> {
    let spans = timing.explain().into_iter();
    spans
        .map(|Span { name, length, why }| Derived { name, span_ms: length.as_secs_f64() * 1e3, reason: why })
        .collect()
}

fn print(report: &Report, timing: &Timing, output: &mut Output) -> Result<(), Failure> {
    let rows: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Failed => "FAILED",
            };
            [finding.check.to_owned(), verdict.to_owned(), finding.text.clone()]
        })
        .collect();
    output.lines(output::table(&rows))?;
    output.line(format!("\ntime-outs, derived from detect_within = {}:", span::show(timing.detect())))?;
    let rows: Vec<_> = report
        .timeouts
        .iter()
        .map(|derived| {
            let span = span::show(Duration::from_secs_f64(derived.span_ms / 1e3));
            [format!("  {}", derived.name), span, derived.reason.to_owned()]
        })
        .collect();
    output.lines(output::table(&rows))
}
