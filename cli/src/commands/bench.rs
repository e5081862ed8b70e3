//! `quorate bench`: our figures beside a baseline's, in the same run.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Subcommand;
use indicatif::ProgressBar;
use quorate::protocols::Order;
#[cfg(target_os = "linux")]
use quorate::transport::Congestion;
use quorate_bench::{
    BenchError, BusArgs, ControlArgs, CryptoArgs, Disturbance, LargeArgs, MemoryArgs, MulticastArgs, Page,
    PageError, Peers, Progress, QuicArgs, Report, ScaleArgs, Schedule, Senders, ServeArgs, SoakArgs, Target,
    TransportArgs, TransportKind, ViewsArgs,
};
#[cfg(target_os = "linux")]
use quorate_bench::{CorosyncArgs, NetworkArgs};

use crate::{
    Failure, address, credentials,
    failure::one_line,
    output::{Output, say},
    progress, span,
};

/// Measure on this machine, beside a baseline in the same run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate bench transport
  quorate bench multicast
  quorate bench control
  quorate bench bus
  quorate bench large
  quorate bench views
  quorate bench soak --length 1m
  quorate bench crypto
  quorate bench quic
  quorate bench serve --listen 192.0.2.1:4700 --credentials certs/n1
  quorate bench memory
  quorate bench scale
  quorate bench network
  quorate bench corosync
  quorate bench multicast --report results")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// Write a page for browsers, with plots and every round, into this folder [default: none is written].
    ///
    /// A report that is there is overwritten; other files are not.
    #[arg(long, value_name = "DIR", global = true)]
    report: Option<PathBuf>,
    /// Run all of it so many times, each with everything set up anew, and show the median of each figure [default: 1].
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u8).range(1..))]
    runs: Option<u8>,
    /// Print the figures as JSON, one per line, as soon as they are known.
    #[arg(long, global = true)]
    json: bool,
}

/// How a benchmark shows its figures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Show {
    /// In a table, once all are known.
    Table,
    /// As lines of JSON, each as soon as it is known.
    Lines,
    /// Not at all: it is one of several runs.
    Nothing,
}

#[derive(Debug, Subcommand)]
enum What {
    Transport(Transport),
    Multicast(Multicast),
    Control(Control),
    Bus(Bus),
    Large(Large),
    Views(Views),
    Soak(Soak),
    Memory(Memory),
    Scale(Scale),
    #[cfg(target_os = "linux")]
    Network(Network),
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    NetworkHost(HostOf),
    #[cfg(target_os = "linux")]
    Corosync(Corosync),
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    CorosyncHost(HostOf),
    Crypto(Crypto),
    Quic(Quic),
    Serve(Serve),
}

/// Measure links: throughput of frames, and round trips, beside bare quinn.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench transport --transports quic --sizes 1024")]
struct Transport {
    /// Which transports: quic, tcp or memory [default: all].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    transports: Vec<TransportKind>,
    /// Bytes of the frames whose throughput is measured [default: 64,1024,16384,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    elsewhere: Elsewhere,
    #[command(flatten)]
    common: Common,
}

/// Answer other machines that measure with `--peers`, until Ctrl-C: links, groups and the bus.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example, with the folders that `quorate cert issue` made for nodes 1 and 2 of one cluster:
  quorate bench serve --listen 192.0.2.1:4700 --credentials certs/n1
  quorate bench transport --peers 192.0.2.1:4700 --credentials certs/n2  (on another machine)
  quorate bench multicast --peers 192.0.2.1:4700 --credentials certs/n2")]
struct Serve {
    /// Where to listen, over QUIC and over TCP. Over UDP the baseline listens on the next port, and a node that is
    /// a member of a group on the one behind it.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    listen: SocketAddr,
    /// The node certificate in this folder, which is shown to others.
    #[arg(long, value_name = "DIR")]
    credentials: PathBuf,
}

/// Measure groups over QUIC: throughput of multicast messages and their latency, beside bare quinn.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench multicast --members 3,5 --senders all --json")]
struct Multicast {
    /// Members of a group, all of them in this process [default: 3].
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "peers")]
    members: Vec<usize>,
    /// Orders of delivery [default: uniform].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    orders: Vec<Order>,
    /// Who sends: one member, or all [default: one,all, and the one here if others are on other machines].
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "peers")]
    senders: Vec<Senders>,
    /// Bytes of the messages whose throughput is measured [default: 64,1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    elsewhere: Elsewhere,
    #[command(flatten)]
    common: Common,
}

/// Measure heartbeats between two nodes while both send as fast as they can, beside the same idle.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench control --sizes 65536 --lost 0")]
struct Control {
    /// Bytes of the messages that both nodes send meanwhile [default: 1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Of a hundred heartbeats so many are lost on the way [default: 0,1].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    lost: Vec<u8>,
    #[command(flatten)]
    common: Common,
}

/// Measure what is published on the bus: on one node beside the same through the bus actor, and from node to
/// node beside bare quinn.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench bus --publishers 1,4 --to local,group")]
struct Bus {
    /// Publishers for subscribers on the same node, each on a thread of its own [default: 1,2,4].
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "peers")]
    publishers: Vec<usize>,
    /// For whom messages are: nobody, local, group, remote or request [default: all, and the last two to other machines].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    to: Vec<Target>,
    /// Bytes of the messages [default: 64, and 64,1024,16384 to other nodes].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    elsewhere: Elsewhere,
    #[command(flatten)]
    common: Common,
}

/// Measure long messages to many, handed on from member to member, beside a copy to each from their sender.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench large --sizes 67108864 --megabits 1000")]
struct Large {
    /// Members that receive, all of them in this process [default: 4].
    #[arg(long, value_name = "N")]
    receivers: Option<usize>,
    /// Bytes of the messages [default: 1048576,67108864].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Megabits per second that a node sends at most, to all others together; 0 is no bound [default: 1000,0].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    megabits: Vec<u64>,
    #[command(flatten)]
    common: Common,
}

/// Measure how long a group takes to go on without a member that is killed, or leaves, under load.
///
/// The members are processes of their own. Beside the figures stands the time that nodes take to call a silent
/// one lost, which is set and not measured.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench views --rounds 5")]
struct Views {
    /// Members of the group [default: 3].
    #[arg(long, value_name = "N")]
    members: Option<usize>,
    /// How often a member is killed, and how often one leaves [default: 20].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

/// Let a group work at full load for long, and compare the last third of the run with the first.
///
/// All that is sent must be delivered, once, at all members that stay; throughput, latency and memory must stay
/// the same, and no live member be taken for dead.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: quorate bench soak --orders uniform --beside nothing,churn,demote --length 2m"
)]
struct Soak {
    /// Orders of delivery [default: all].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    orders: Vec<Order>,
    /// What goes on beside the load, each in a run of its own: nothing; a slow member that others wait for (block)
    /// or that is made a learner (demote) or removed (evict); loss of one packet of a hundred; churn, a member that leaves and
    /// joins [default: nothing].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    beside: Vec<Disturbance>,
    /// Bytes of the messages [default: 1024].
    #[arg(long, value_name = "N")]
    size: Option<usize>,
    /// How long each run lasts, such as 90s or 10m [default: 10m].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    length: Option<Duration>,
}

/// Measure the memory of nodes, idle and while their group carries as much as it can, and what they do when idle.
///
/// The nodes are processes of their own.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench memory --load 2m")]
struct Memory {
    /// For how long idle nodes are watched, such as 10s [default: 10s].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    idle: Option<Duration>,
    /// For how long nodes are watched under load, after 5 s of it, such as 2m [default: 30s].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    load: Option<Duration>,
    /// Bytes of the messages [default: 1024].
    #[arg(long, value_name = "BYTES")]
    size: Option<usize>,
}

/// Measure what more members cost a group, and what more groups cost five nodes, idle and when a node dies.
///
/// Whoever names members or groups measures only what is named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench scale --groups 1,100,1000,10000")]
struct Scale {
    /// Members of a group [default: 3,5,7,9].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    members: Vec<usize>,
    /// Groups of three over five nodes [default: 1,100,1000,10000].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    groups: Vec<usize>,
    /// For how long idle nodes are watched, such as 10s [default: 5s].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    idle: Option<Duration>,
    /// How often each is measured, with nodes of its own [default: 3].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

/// Measure links over a network with a rate, a delay and losses, beside bare UDP and one stream of TCP.
///
/// Two hosts are processes with networks of their own, which needs root and the commands `ip` and `unshare`. The
/// link between them is a relay in this process.
#[cfg(target_os = "linux")]
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench network --round-trips 25ms --lost 0,1")]
struct Network {
    /// Which transports: quic or tcp [default: both].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    transports: Vec<TransportKind>,
    /// Time there and back, such as 25ms [default: 1ms,25ms].
    #[arg(long, value_name = "SPANS", value_delimiter = ',', value_parser = span::parse)]
    round_trips: Vec<Duration>,
    /// Of a hundred packets so many are lost on the way, each way [default: 0,1].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    lost: Vec<u8>,
    /// Megabits per second that the link carries, each way [default: 1000].
    #[arg(long, value_name = "N")]
    megabits: Option<u64>,
    /// Bytes of a lane over QUIC that may be on the way [default: what nodes have].
    #[arg(long, value_name = "BYTES")]
    lane_window: Option<u32>,
    /// Congestion control of QUIC: cubic, bbr or new-reno [default: what nodes have].
    #[arg(long, value_name = "NAME")]
    congestion: Option<Congestion>,
    /// Groups that send on the link with the longest round trip [default: 8].
    #[arg(long, value_name = "N")]
    groups: Option<u32>,
    #[command(flatten)]
    common: Common,
}

/// Be one of the hosts of a benchmark, which says on standard input what to do.
#[cfg(target_os = "linux")]
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate bench network-host certs/n1
  quorate bench corosync-host certs/n1")]
struct HostOf {
    /// Folder of its credentials.
    credentials: PathBuf,
}

/// Measure a group beside a closed process group of Corosync: three members each, on the same hosts and link.
///
/// The hosts are processes with networks of their own, which needs root, the commands `ip` and `unshare`, and Debian's
/// packages corosync and libcpg-dev. The client of Corosync is compiled with `cc`.
#[cfg(target_os = "linux")]
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench corosync --mtus 1500 --sizes 1024,65536")]
struct Corosync {
    /// Bytes of the longest packet of the link [default: 1500,65535].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    mtus: Vec<u16>,
    /// Orders of delivery of our group, beside Corosync's agreed order [default: uniform].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    orders: Vec<Order>,
    /// Who sends: one member, or all [default: one,all].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    senders: Vec<Senders>,
    /// Bytes of the messages whose throughput is measured [default: 64,1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

/// Measure what encryption costs: bare quinn with the cipher that nodes prefer, beside others.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: quorate bench crypto --sizes 65536

Built with `--features ring`, it measures that library too.")]
struct Crypto {
    /// Bytes of the messages whose throughput is measured [default: 1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

/// Measure what each setting of QUIC gives: bare quinn as links are set, beside the same but for one thing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate bench quic --sizes 65536")]
struct Quic {
    /// Bytes of the messages whose throughput is measured [default: 1024,65536].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Elsewhere {
    /// Measure with these machines, on each of which `quorate bench serve` runs [default: within this one].
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = address::parse, requires = "credentials")]
    peers: Vec<SocketAddr>,
    /// The node certificate in this folder, which is shown to them; `quorate cert issue --node N` makes one
    /// [default: none, which none needs without peers].
    #[arg(long, value_name = "DIR", requires = "peers")]
    credentials: Option<PathBuf>,
}

impl Elsewhere {
    /// The other machines; `None` if all is measured within this one.
    fn peers(&self) -> Result<Option<Peers>, Failure> {
        let Some(folder) = &self.credentials else { return Ok(None) };
        Ok(Some(Peers { addrs: self.peers.clone(), credentials: credentials::of_node(folder)? }))
    }
}

#[derive(Debug, clap::Args)]
struct Common {
    /// How often each side is measured [default: 5].
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long a round lasts, such as 100ms or 2s [default: 500ms, 5s for control, 3s for network, 2s for large, 1s for corosync].
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    round: Option<Duration>,
}

impl Common {
    /// What was given, over what a benchmark does by itself.
    fn schedule(&self, mut schedule: Schedule) -> Schedule {
        schedule.rounds = self.rounds.unwrap_or(schedule.rounds);
        schedule.round = self.round.unwrap_or(schedule.round);
        schedule
    }
}

/// Carries out `quorate bench`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let serves = matches!(args.what, What::Serve(_));
    if serves && (args.report.is_some() || args.runs.is_some()) {
        return Err(Failure::Usage(
            "what serves others has no report: give --report and --runs where it is measured".into(),
        ));
    }
    // What cannot be written is said before minutes of work, and not after.
    let page = args.report.as_ref().map(Page::prepare).transpose().map_err(refused)?;
    let (count, show) = (args.runs.unwrap_or(1), if args.json { Show::Lines } else { Show::Table });
    let runs = (0..count)
        .filter_map(|_| benchmark(&args.what, if count == 1 { show } else { Show::Nothing }).transpose());
    let report = Report::median_of(runs.collect::<Result<_, _>>()?);
    if let Some(report) = report.as_ref().filter(|_| count > 1) {
        let mut output = Output::new();
        output.raw(if show == Show::Lines { report.to_json_lines() } else { format!("{report}\n") })?;
        output.flush()?;
    }
    if let (Some(page), Some(report)) = (page, report) {
        page.write(&report).map_err(refused)?;
        say(&format!("the report is in {}", page.index().display()));
    }
    Ok(())
}

fn refused(error: PageError) -> Failure {
    match error {
        PageError::Io { doing, path, source } => Failure::File { doing, path, source },
        foreign @ PageError::Foreign { .. } => Failure::Usage(foreign.to_string()),
        other => Failure::Failed(one_line(&other)),
    }
}

/// Carries out a benchmark; what serves others has no report of its own.
#[expect(clippy::too_many_lines, reason = "a short arm for each benchmark")]
fn benchmark(what: &What, show: Show) -> Result<Option<Report>, Failure> {
    let report = match what {
        What::Transport(args) => {
            let mut wanted = TransportArgs::default();
            wanted.schedule = args.common.schedule(wanted.schedule);
            choose(&mut wanted.transports, &args.transports);
            choose(&mut wanted.sizes, &args.sizes);
            let Some(peers) = args.elsewhere.peers()? else {
                return measure(show, |observer| quorate_bench::transport(&wanted, observer)).map(Some);
            };
            if args.transports.is_empty() {
                wanted.transports.retain(|kind| *kind != TransportKind::Memory);
            }
            measure(show, |observer| quorate_bench::transport_to(&peers, &wanted, observer))
        }
        What::Multicast(args) => {
            let mut wanted = MulticastArgs::default();
            wanted.schedule = args.common.schedule(wanted.schedule);
            choose(&mut wanted.members, &args.members);
            choose(&mut wanted.orders, &args.orders);
            choose(&mut wanted.senders, &args.senders);
            choose(&mut wanted.sizes, &args.sizes);
            match args.elsewhere.peers()? {
                None => measure(show, |observer| quorate_bench::multicast(&wanted, observer)),
                Some(peers) => {
                    measure(show, |observer| quorate_bench::multicast_to(&peers, &wanted, observer))
                }
            }
        }
        What::Control(args) => {
            let mut wanted = ControlArgs::default();
            wanted.schedule = args.common.schedule(wanted.schedule);
            choose(&mut wanted.sizes, &args.sizes);
            choose(&mut wanted.lost_percent, &args.lost);
            measure(show, |observer| quorate_bench::control(&wanted, observer))
        }
        What::Bus(args) => {
            let mut wanted = BusArgs::default();
            wanted.schedule = args.common.schedule(wanted.schedule);
            choose(&mut wanted.publishers, &args.publishers);
            choose(&mut wanted.targets, &args.to);
            choose(&mut wanted.sizes, &args.sizes);
            choose(&mut wanted.remote_sizes, &args.sizes);
            let Some(peers) = args.elsewhere.peers()? else {
                return measure(show, |observer| quorate_bench::bus(&wanted, observer)).map(Some);
            };
            if args.to.is_empty() {
                wanted.targets = vec![Target::Remote, Target::Request];
            }
            measure(show, |observer| quorate_bench::bus_to(&peers, &wanted, observer))
        }
        What::Large(args) => {
            let mut wanted = LargeArgs::default();
            wanted.schedule = args.common.schedule(wanted.schedule);
            wanted.receivers = args.receivers.unwrap_or(wanted.receivers);
            choose(&mut wanted.sizes, &args.sizes);
            choose(&mut wanted.megabits, &args.megabits);
            measure(show, |observer| quorate_bench::large(&wanted, observer))
        }
        What::Memory(args) => {
            let mut wanted = MemoryArgs::new(this_command()?);
            wanted.idle = args.idle.unwrap_or(wanted.idle);
            wanted.load = args.load.unwrap_or(wanted.load);
            wanted.message_bytes = args.size.unwrap_or(wanted.message_bytes);
            measure(show, |observer| quorate_bench::memory(&wanted, observer))
        }
        What::Scale(args) => {
            let mut wanted = ScaleArgs::default();
            if !(args.members.is_empty() && args.groups.is_empty()) {
                (wanted.members, wanted.groups) = (args.members.clone(), args.groups.clone());
            }
            wanted.idle = args.idle.unwrap_or(wanted.idle);
            wanted.schedule.rounds = args.rounds.unwrap_or(wanted.schedule.rounds);
            measure(show, |observer| quorate_bench::scale(&wanted, observer))
        }
        What::Views(args) => {
            let mut wanted = ViewsArgs::new(this_command()?);
            wanted.members = args.members.unwrap_or(wanted.members);
            wanted.rounds = args.rounds.unwrap_or(wanted.rounds);
            measure(show, |observer| quorate_bench::views(&wanted, observer))
        }
        What::Soak(args) => {
            let mut wanted = SoakArgs::default();
            choose(&mut wanted.orders, &args.orders);
            choose(&mut wanted.disturbances, &args.beside);
            wanted.message_bytes = args.size.unwrap_or(wanted.message_bytes);
            wanted.length = args.length.unwrap_or(wanted.length);
            measure(show, |observer| quorate_bench::soak(&wanted, observer))
        }
        #[cfg(target_os = "linux")]
        What::Network(args) => {
            let mut wanted = NetworkArgs::new(this_command()?);
            wanted.schedule = args.common.schedule(wanted.schedule);
            wanted.schedule.warm_up = wanted.schedule.round;
            choose(&mut wanted.transports, &args.transports);
            choose(&mut wanted.round_trips, &args.round_trips);
            choose(&mut wanted.lost_percent, &args.lost);
            wanted.megabits = args.megabits.unwrap_or(wanted.megabits);
            wanted.lane_window_bytes = args.lane_window;
            wanted.congestion = args.congestion;
            wanted.groups = args.groups.unwrap_or(wanted.groups);
            measure(show, |observer| quorate_bench::network(&wanted, observer))
        }
        #[cfg(target_os = "linux")]
        What::NetworkHost(args) => {
            let served = quorate_bench::network_host(&args.credentials);
            return served.map(|()| None).map_err(|error| Failure::Failed(one_line(&error)));
        }
        #[cfg(target_os = "linux")]
        What::Corosync(args) => {
            let mut wanted = CorosyncArgs::new(this_command()?);
            wanted.schedule = args.common.schedule(wanted.schedule);
            choose(&mut wanted.mtus, &args.mtus);
            choose(&mut wanted.orders, &args.orders);
            choose(&mut wanted.senders, &args.senders);
            choose(&mut wanted.sizes, &args.sizes);
            measure(show, |observer| quorate_bench::corosync(&wanted, observer))
        }
        #[cfg(target_os = "linux")]
        What::CorosyncHost(args) => {
            let served = quorate_bench::corosync_host(&args.credentials);
            return served.map(|()| None).map_err(|error| Failure::Failed(one_line(&error)));
        }
        What::Crypto(args) => {
            let mut wanted = CryptoArgs::default();
            wanted.schedule = args.common.schedule(wanted.schedule);
            choose(&mut wanted.sizes, &args.sizes);
            measure(show, |observer| quorate_bench::crypto(&wanted, observer))
        }
        What::Serve(args) => {
            let (listen, credentials) = (args.listen, credentials::of_node(&args.credentials)?);
            let ready = |addr| {
                let mut output = Output::new();
                // Whoever closed it reads nothing.
                let _ =
                    output.line(format!("answers at {addr}; Ctrl-C stops it")).and_then(|()| output.flush());
            };
            let served = quorate_bench::serve(ServeArgs { listen, credentials }, ready);
            return served.map(|never| match never {}).map_err(|error| Failure::Failed(one_line(&error)));
        }
        What::Quic(args) => {
            let mut wanted = QuicArgs::default();
            wanted.schedule = args.common.schedule(wanted.schedule);
            choose(&mut wanted.sizes, &args.sizes);
            measure(show, |observer| quorate_bench::quic(&wanted, observer))
        }
    };
    report.map(Some)
}

/// Where this command is, which runs nodes as processes of their own.
fn this_command() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::Failed(format!("this command does not find itself: {error}")))
}

/// Takes a list that was given in place of the default.
fn choose<T: Clone>(wanted: &mut Vec<T>, given: &[T]) {
    if !given.is_empty() {
        wanted.clear();
        wanted.extend_from_slice(given);
    }
}

type Observer<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// Carries out a benchmark and prints its figures.
fn measure(
    show: Show,
    benchmark: impl FnOnce(Observer<'_>) -> Result<Report, BenchError>,
) -> Result<Report, Failure> {
    let bar = progress::drawn(ProgressBar::new(0), "{bar:30} {pos}/{len} {msg}");
    let mut output = Output::new();
    let mut written = Ok(());
    let report = benchmark(&mut |progress| match progress {
        Progress::Step { done, steps, case } => {
            bar.set_length(steps as u64);
            bar.set_position(done as u64);
            bar.set_message(case);
        }
        Progress::Measured(record) if show == Show::Lines && written.is_ok() => {
            written = output.line(record.to_json()).and_then(|()| output.flush());
        }
        _ => {}
    });
    bar.finish_and_clear();
    written?;
    let report = report.map_err(|error| match error {
        BenchError::Settings(what) => Failure::Usage(what),
        other => Failure::Failed(one_line(&other)),
    })?;
    if show == Show::Table {
        output.line(report.to_string())?;
        output.flush()?;
    }
    Ok(report)
}
