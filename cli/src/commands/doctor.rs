//! `quorate doctor`: will this node start, and what follows from its configuration?

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use quorate::transport::{CredentialFiles, Credentials, Role};
use quorate::{
    GroupSettings,
    membership::{Span, Timing},
};
use serde::Serialize;

use crate::{
    Failure,
    address::AddressError,
    config::{self, NodeFile},
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
        finding("configuration", Ok((Verdict::Ok, configuration(&file, &args.config)))),
        finding("credentials", credentials(&file)),
        finding("address", address(file.listen)),
        finding("data folder", data(file.data.as_deref())),
        finding("socket buffers", buffers(file.listen)),
    ];
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

fn configuration(file: &NodeFile, path: &Path) -> String {
    let groups: Vec<_> = file.groups.iter().map(group).collect();
    let groups = if groups.is_empty() { "no groups".to_owned() } else { groups.join("; ") };
    format!("{}: {} seeds; {groups}", path.display(), file.seeds.len())
}

fn group(group: &GroupSettings) -> String {
    let founders: Vec<_> = group.founders.iter().map(|node| format!("n{node}")).collect();
    let order = group.order.as_deref().unwrap_or("uniform");
    let bound = match group.subjects.len() {
        0 => String::new(),
        _ => format!(", bound to {}", group.subjects.join(", ")),
    };
    format!("group {} of {}, {order} order{bound}", group.name, founders.join(", "))
}

fn credentials(file: &NodeFile) -> Result<(Verdict, String), String> {
    let credentials =
        Credentials::load(&CredentialFiles::of_node(&file.credentials)).map_err(|error| one_line(&error))?;
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
        Ok(_) => Ok((Verdict::Ok, format!("Prometheus will find the figures at {}", metrics::url(addr)))),
        Err(error) => Err(AddressError::new(addr, error).to_string()),
    }
}

fn data(folder: Option<&Path>) -> Result<(Verdict, String), String> {
    let Some(folder) = folder else {
        return Ok((Verdict::Ok, "none: this node forgets everything when it stops".into()));
    };
    check_writable(folder).map_err(|failure| one_line(&failure))?;
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
