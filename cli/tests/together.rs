//! Scenario S11 and power cuts with real processes: nodes that start together, and together again.

mod support;

use serde_json::Value;
use support::{Place, Running, eventually, free_addresses};

/// Long enough that processes which a busy machine starts one after the other still begin together.
const DETECT: &str = "2s";

/// Certificates and configurations of so many nodes that found group `log`, and of a client.
fn prepared(nodes: usize) -> (Place, Vec<String>) {
    let place = Place::new();
    place.ok("cert init --cluster prod");
    place.ok("cert issue --client reader");
    let addrs = free_addresses(nodes);
    let quoted =
        |items: &[String]| items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ");
    let founders: Vec<String> = (1..=nodes).map(|node| format!("n{node}")).collect();
    for (node, addr) in founders.iter().zip(&addrs) {
        place.ok(&format!("cert issue --node {node}"));
        place.write(
            &format!("{node}.toml"),
            &format!(
                "listen = \"{addr}\"\ncredentials = \"certs/{node}\"\nseeds = [{}]\ndata = \"data/{node}\"\n\
                 detect_within = \"{DETECT}\"\n[[groups]]\nname = \"log\"\nfounders = [{}]\nsubjects = [\"log.>\"]\n",
                quoted(&addrs),
                quoted(&founders),
            ),
        );
    }
    (place, addrs)
}

fn start(place: &Place, node: usize) -> Running {
    place.start(&format!("node --config n{node}.toml"))
}

/// Starts all nodes at once.
fn start_all(place: &Place, nodes: usize) -> Vec<Running> {
    (1..=nodes).map(|node| start(place, node)).collect()
}

/// What three nodes say that have founded their group together.
const FOUNDED: &str = "group log is in view v1 {n1, n2, n3}: n1 founded, n2 founded, n3 founded";

/// Waits until all nodes have said so.
fn all_say(nodes: &[Running], what: &str) {
    for node in nodes {
        node.wait_for(what);
    }
}

/// Ends all nodes at once, without a word.
fn kill(nodes: Vec<Running>) {
    for node in &nodes {
        node.signal("KILL");
    }
    drop(nodes);
}

/// Arguments for a client that uses these nodes.
fn reach(addrs: &[String]) -> String {
    format!(" --connect {} --credentials certs/reader", addrs.join(" --connect "))
}

#[test]
fn nodes_that_start_together_found_one_view_with_all_of_them_round_after_round() {
    const NODES: usize = 5;
    let (place, addrs) = prepared(NODES);
    let all: Vec<String> = (1..=NODES).map(|node| format!("n{node}")).collect();
    let founded: Vec<String> = all.iter().map(|node| format!("{node} founded")).collect();
    let view = format!("group log is in view v1 {{{}}}: {}", all.join(", "), founded.join(", "));
    for round in 0..4 {
        let mut nodes = start_all(&place, NODES);
        for (index, node) in nodes.iter().enumerate() {
            let lines = node.wait_for("group log");
            let first = lines.last().expect("it has waited for one");
            assert_eq!(*first, format!("n{}: {view}", index + 1), "round {round}");
        }
        place.ok(&format!("pub log.app hello{}", reach(&addrs)));
        // Every other time they end without a word.
        let signal = ["TERM", "KILL"][round % 2];
        for node in &nodes {
            node.signal(signal);
        }
        if signal == "TERM" {
            for node in &mut nodes {
                assert_eq!(node.code(), 0);
            }
        }
    }
}

#[test]
fn a_node_alone_founds_nothing_and_says_whom_it_waits_for() {
    let (place, addrs) = prepared(3);
    let first = start(&place, 1);
    first.wait_for("n1 of cluster prod serves");
    let only = reach(&addrs[..1]);
    let status = |key: &str| -> Value {
        let status: Value = serde_json::from_str(&place.ok(&format!("status --json{only}"))).unwrap();
        status["groups"][0][key].clone()
    };
    eventually("all that founders wait for each other is over", || {
        place.ok(&format!("why log{only}")).contains("as soon as a majority of the declared nodes is here")
    });
    let why = place.ok(&format!("why log{only}"));
    assert!(why.contains("waits for founders that are not here: n2, n3"), "{why}");
    assert_eq!(status("delivered_total"), 0);
    let ended = place.run(&format!("pub log.app lost --timeout 3s{only}"));
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("the acknowledgement of message 1 did not come within 3 s"), "{ended:?}");

    let second = start(&place, 2);
    for node in [&first, &second] {
        // A majority is enough once everybody has had time to come.
        node.wait_for("group log is in view v1 {n1, n2}: n1 founded, n2 founded");
    }
    let third = start(&place, 3);
    for node in [&first, &second, &third] {
        node.wait_for("group log is in view v2 {n1, n2, n3}: n3 joined");
    }
}

#[test]
fn after_a_power_cut_the_nodes_found_anew_and_readers_are_told_that_something_may_be_missing() {
    let (place, addrs) = prepared(3);
    let nodes = start_all(&place, 3);
    all_say(&nodes, FOUNDED);
    let reach = reach(&addrs);
    let reader = place.start(&format!("sub log.app --json{reach}"));
    reader.wait_for_error("subscribed");
    let next = || -> Value { serde_json::from_str(&reader.line()).unwrap() };
    place.ok(&format!("pub log.app before{reach}"));
    let before = next();
    assert_eq!((&before["payload"], &before["missed_before"]), (&"before".into(), &Value::Null));

    kill(nodes);
    let nodes = start_all(&place, 3);
    all_say(&nodes, FOUNDED);
    place.ok(&format!("pub log.app after --timeout 30s{reach}"));
    let after = next();
    assert_eq!((&after["payload"], &after["missed_before"]), (&"after".into(), &"unknown".into()));
    let views = place.ok(&format!("group views log{reach}"));
    assert_eq!(views.lines().count(), 2, "nothing of the former founding is left: {views}");
}

#[test]
fn a_survivor_of_a_power_cut_says_that_the_group_is_founded_anew() {
    let (place, addrs) = prepared(3);
    let mut nodes = start_all(&place, 3);
    all_say(&nodes, FOUNDED);
    let lost = nodes.split_off(1);
    kill(lost);
    nodes[0].wait_for("n1: group log stands still: no majority of its view is in reach, what is sent waits");
    let back = [2, 3].map(|node| start(&place, node));
    nodes[0].wait_for("n1: group log lost a majority for good and is founded anew");
    for node in nodes.iter().chain(&back) {
        node.wait_for(FOUNDED);
    }
    place.ok(&format!("pub log.app hello{}", reach(&addrs)));
}
