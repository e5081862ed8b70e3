//! Scenario S9 with real processes: a node is stopped and goes on, and serves nothing stale.

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{Place, Running, eventually, signal};

/// Messages of each part of the test.
const PART: usize = 200;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The messages of a part, one a line.
fn lines(part: usize) -> String {
    let numbers = (part * PART..(part + 1) * PART).map(|number| number.to_string());
    numbers.collect::<Vec<_>>().join("\n") + "\n"
}

/// Waits until all that was written to a publisher is acknowledged.
fn ends(mut publisher: Running) {
    publisher.end_input();
    assert_eq!(publisher.code(), 0);
}

/// A cluster of three processes.
struct Cluster {
    place: Place,
    up: Running,
    /// Where each node serves, and its process.
    nodes: BTreeMap<&'static str, (String, u32)>,
}

impl Cluster {
    fn start() -> Self {
        let place = Place::new();
        let up = place.start("up --port 0 --processes");
        let lines = up.wait_for("ready in ");
        let node = |name: &'static str| {
            let line = lines.iter().find(|line| line.starts_with(name)).expect("the node is listed");
            let words: Vec<&str> = line.split_whitespace().collect();
            (name, (words[1].to_owned(), words[3].parse().expect("its process is listed")))
        };
        let nodes = ["n1", "n2", "n3"].map(node).into();
        Self { place, up, nodes }
    }

    fn addr(&self, node: &str) -> &str {
        &self.nodes[node].0
    }

    fn signal(&self, node: &str, name: &str) {
        signal(self.nodes[node].1, name);
    }

    /// A reader that may use these nodes, in this order of preference.
    fn reader(&self, nodes: &[&str]) -> Reader {
        let connect: Vec<&str> = nodes.iter().flat_map(|node| ["--connect", self.addr(node)]).collect();
        let running = self.place.start(&format!("sub log.app --json {}", connect.join(" ")));
        running.wait_for_error("subscribed");
        Reader { running, got: Vec::new() }
    }

    /// A publisher that uses this node.
    fn publisher(&self, node: &str) -> Running {
        self.place.start(&format!("pub log.app --timeout 30s --connect {}", self.addr(node)))
    }

    /// Publishes a part through a node; when this returns all of it is acknowledged.
    fn publish(&self, part: usize, node: &str) {
        let mut publisher = self.publisher(node);
        publisher.write(&lines(part));
        ends(publisher);
    }

    /// What the status at a node says of another one.
    fn peer(&self, at: &str, of: &str) -> Value {
        let status = json(&self.place.ok(&format!("status --json --connect {}", self.addr(at))));
        let number: u64 = of.trim_start_matches('n').parse().unwrap();
        let peers = status["peers"].as_array().expect("its peers are listed");
        peers.iter().find(|peer| peer["node"] == number).expect("the node is known").clone()
    }

    /// The history of views at a node: who is in them, and why they came.
    fn views(&self, at: &str) -> Vec<(String, String)> {
        let text = self.place.ok(&format!("group views log --connect {}", self.addr(at)));
        let row = |line: &str| {
            let cells: Vec<&str> = line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect();
            (cells[0].to_owned(), cells[2].to_owned())
        };
        text.lines().skip(1).map(row).collect()
    }
}

/// A reader that has printed places and messages.
struct Reader {
    running: Running,
    got: Vec<(String, String)>,
}

impl Reader {
    /// Reads until it has so many messages in all.
    fn read(&mut self, count: usize) {
        while self.got.len() < count {
            let line = self.running.line();
            let shown = json(&line);
            assert!(shown["missed_before"].is_null(), "after {} messages: {line}", self.got.len());
            let text = |key: &str| shown[key].as_str().expect("it is shown").to_owned();
            self.got.push((text("position"), text("payload")));
        }
    }

    /// The views in which it got its messages, in this order, each once.
    fn views(&self) -> Vec<&str> {
        let places = self.got.iter().map(|(at, _)| at.split_once('/').expect("a view and a number"));
        let mut views: Vec<&str> = places.map(|(view, _)| view).collect();
        views.dedup();
        views
    }
}

/// Stops a node until the others have gone on and `more` is so, then lets it go on.
fn a_stopped_node_serves_nothing_stale(more: impl Fn(&Cluster)) {
    let cluster = Cluster::start();
    // One that knows only the node that will be stopped, one that may go elsewhere, and one elsewhere.
    let mut readers = [&["n3"][..], &["n3", "n1"], &["n1"]].map(|nodes| cluster.reader(nodes));
    // It is at work when its node is stopped, and hands over more while that stands still.
    let mut publisher = cluster.publisher("n3");
    publisher.write(&lines(0));
    for reader in &mut readers {
        reader.read(PART);
    }

    cluster.signal("n3", "STOP");
    cluster.publish(1, "n1");
    cluster.up.wait_for("group log is in view v2 {n1, n2}: n3 unreachable");
    cluster.publish(2, "n2");
    readers[2].read(3 * PART);
    let peer = cluster.peer("n1", "n3");
    assert!(peer["reachable"] == false && peer["lost_for_ms"].is_u64(), "{peer}");
    publisher.write(&lines(3));
    more(&cluster);
    cluster.signal("n3", "CONT");

    cluster.up.wait_for("n3: group log went on without this node (v2: unreachable), which joins again");
    cluster.up.wait_for("group log is in view v3 {n1, n2, n3}: n3 joined");
    ends(publisher);
    cluster.publish(4, "n3");
    for reader in &mut readers {
        reader.read(5 * PART);
    }
    let expected: Vec<String> = (0..5 * PART).map(|number| number.to_string()).collect();
    let [only, either, other] = &readers;
    assert!(other.got.iter().map(|(_, message)| message).eq(&expected), "{:?}", other.got);
    assert!(only.got == other.got && either.got == other.got, "places or messages differ");
    assert_eq!(other.views(), ["v1", "v2", "v3"]);

    eventually("n3 is back", || cluster.peer("n1", "n3")["reachable"] == true);
    let why = ["n1 founded, n2 founded, n3 founded", "n3 unreachable", "n3 joined"];
    let history = cluster.views("n1");
    assert!(history.iter().map(|(_, why)| why).eq(why), "{history:?}");
    assert_eq!(cluster.views("n3").last(), history.last());
}

#[test]
fn a_node_that_was_stopped_serves_nothing_stale_and_comes_back_in_a_new_view() {
    a_stopped_node_serves_nothing_stale(|_| {});
}

#[test]
fn a_node_that_was_stopped_until_its_links_were_given_up_comes_back_as_well() {
    a_stopped_node_serves_nothing_stale(|cluster| {
        eventually("n1 has given up the link to n3", || cluster.peer("n1", "n3")["linked"] == false);
    });
}
