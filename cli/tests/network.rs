//! Scenarios S8 and S11 with real processes on hosts of their own, whose network is cut and loses packets.
//!
//! The hosts are network namespaces, which Linux makes for root alone, with the commands `ip` and `nft`. Where
//! that is not to be had the tests say so and end.

#![cfg(target_os = "linux")]

mod support;

use std::{
    process::{Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Place, Running, eventually};

/// How long a link stays cut: many times as long as the nodes take to act on it.
const CUT: Duration = Duration::from_secs(8);
/// Where this is set, tests must not be skipped.
const REQUIRED: &str = "QUORATE_TEST_HOSTS";
/// Pause between two messages.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs a command of the system, and says whether it went well.
fn succeeds(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a command has a name"));
    let status =
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn must(line: &str) {
    assert!(succeeds(line), "failed: {line}");
}

/// Three hosts on one switch, gone with the test.
struct Hosts {
    /// One network at a time: what others do with the processor must not look like a cut.
    _turn: MutexGuard<'static, ()>,
    /// What the names of their namespaces begin with.
    name: String,
    place: Place,
}

impl Hosts {
    /// Makes hosts with a configuration of a node each; `None` if that cannot be done here.
    fn make(detect_within: &str) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("quorate-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let skipped = || {
            assert!(std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set, and no hosts can be made");
            eprintln!("skipped: this needs root, and the commands `ip` and `nft`");
        };
        if !succeeds(&format!("ip netns add {name}")) {
            skipped();
            return None;
        }
        let hosts = Self { _turn: turn, name, place: Place::new() };
        let name = &hosts.name;
        if !succeeds(&format!("ip netns exec {name} nft add table ip t")) {
            skipped();
            return None;
        }
        must(&format!("ip -n {name} link add switch type bridge"));
        must(&format!("ip -n {name} link set switch up"));
        hosts.place.ok("cert init");
        hosts.place.ok("cert issue --client c");
        for node in 1..=3 {
            hosts.add(node, detect_within);
        }
        Some(hosts)
    }

    fn add(&self, node: u32, detect_within: &str) {
        let (switch, host) = (&self.name, self.host(node));
        must(&format!("ip netns add {host}"));
        must(&format!("ip link add eth0 netns {host} type veth peer name port{node} netns {switch}"));
        must(&format!("ip -n {switch} link set port{node} master switch up"));
        must(&format!("ip -n {host} addr add {}/24 dev eth0", address(node)));
        must(&format!("ip -n {host} link set eth0 up"));
        must(&format!("ip -n {host} link set lo up"));
        must(&format!("ip netns exec {host} nft add table ip t"));
        must(&format!("ip netns exec {host} nft add chain ip t in {{ type filter hook input priority 0; }}"));
        self.place.ok(&format!("cert issue --node {node}"));
        let others =
            (1..=3).filter(|other| *other != node).map(|other| format!("\"{}:4610\"", address(other)));
        let seeds = others.collect::<Vec<_>>().join(", ");
        let config = format!(
            "listen = \"{}:4610\"\ncredentials = \"certs/n{node}\"\nseeds = [{seeds}]\n\
             detect_within = \"{detect_within}\"\n\n[[groups]]\nname = \"log\"\n\
             founders = [\"n1\", \"n2\", \"n3\"]\nsubjects = [\"log.>\"]\n",
            address(node)
        );
        self.place.write(&format!("n{node}.toml"), &config);
    }

    fn host(&self, node: u32) -> String {
        format!("{}-n{node}", self.name)
    }

    /// The command on a host, ready to be started.
    fn on(&self, node: u32, args: &str) -> Command {
        let mut command = self.place.prepared("ip");
        let quorate = env!("CARGO_BIN_EXE_quorate");
        command.args(["netns", "exec", &self.host(node), quorate]).args(args.split_whitespace());
        command
    }

    fn node(&self, node: u32) -> Running {
        Running::start(self.on(node, &format!("node --config n{node}.toml --json")))
    }

    /// What arrives at a host from here on is subject to this rule as well.
    fn filter(&self, node: u32, rule: &str) {
        must(&format!("ip netns exec {} nft add rule ip t in {rule}", self.host(node)));
    }

    fn heal(&self) {
        for node in 1..=3 {
            must(&format!("ip netns exec {} nft flush chain ip t in", self.host(node)));
        }
    }

    /// The command as a client beside a node, which it uses.
    fn client(&self, node: u32, args: &str) -> Command {
        self.on(node, &format!("{args} --credentials certs/c --connect {}:4610", address(node)))
    }

    /// The nodes in each of the views that a node has installed so far.
    fn views(&self, node: u32) -> Vec<Vec<u64>> {
        let output = self.client(node, "group views log --json").output().expect("it can be started");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("it is text");
        let members = |line| json(line)["view"]["members"].as_array().expect("it has members").clone();
        let nodes = |line| members(line).iter().map(|it| it["node"].as_u64().expect("a number")).collect();
        text.lines().map(nodes).collect()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for node in 1..=3 {
            succeeds(&format!("ip netns del {}", self.host(node)));
        }
        succeeds(&format!("ip netns del {}", self.name));
    }
}

fn address(node: u32) -> String {
    format!("10.93.0.{node}")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The first view of a node, and how many members it has.
fn first_view(node: &Running) -> (String, u64) {
    let told = node.wait_for("\"event\":\"view\"").pop().expect("it is the last line");
    let told = json(&told);
    (told["view"].as_str().expect("it is named").to_owned(), told["members"].as_u64().expect("a number"))
}

#[test]
fn hosts_that_start_together_while_packets_are_lost_found_one_group() {
    // Time enough for handshakes that are repeated, of processes that start one after the other.
    let Some(hosts) = Hosts::make("2s") else { return };
    for node in 1..=3 {
        hosts.filter(node, "numgen random mod 100 < 10 drop");
    }
    let nodes = [1, 2, 3].map(|node| hosts.node(node));
    for node in &nodes {
        // The very first view that any of them tells of has all of them.
        assert_eq!(first_view(node), ("v1 {n1, n2, n3}".to_owned(), 3));
    }
    let mut publisher = Running::start(hosts.client(2, "pub log.app"));
    publisher.write(&"in spite of it\n".repeat(500));
    publisher.end_input();
    assert_eq!(publisher.code(), 0, "all of it is acknowledged");
    for node in 1..=3 {
        assert_eq!(hosts.views(node).len(), 1, "nobody was lost for what the network loses");
    }
}

#[test]
fn a_link_that_is_cut_costs_one_view_and_the_host_that_reaches_both_nothing() {
    let Some(hosts) = Hosts::make("1s") else { return };
    let nodes = [1, 2, 3].map(|node| hosts.node(node));
    for node in &nodes {
        assert_eq!(first_view(node).1, 3);
    }
    let mut publisher = Running::start(hosts.client(3, "pub log.app"));
    hosts.filter(1, &format!("ip saddr {} drop", address(2)));
    hosts.filter(2, &format!("ip saddr {} drop", address(1)));
    let cut = Instant::now();
    while cut.elapsed() < CUT {
        publisher.write("hello\n");
        std::thread::sleep(PAUSE); // the pace of a user, not a wait for anything
    }
    publisher.end_input();
    assert_eq!(publisher.code(), 0, "all of it is acknowledged");
    let views = hosts.views(3);
    assert_eq!(views.len(), 2, "one view more, and no flapping: {views:?}");
    assert!(views[1].len() == 2 && views[1].contains(&3), "{views:?}");
    for line in nodes[2].so_far() {
        assert_ne!(json(&line)["event"], "group", "the third never stands still: {line}");
    }
    hosts.heal();
    eventually("the third is back", || hosts.views(3).last().is_some_and(|view| view.len() == 3));
    assert_eq!(hosts.views(3).len(), 3, "{:?}", hosts.views(3));
}
