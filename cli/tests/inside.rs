//! `quorate status`, `why`, `group` and the metrics: what a cluster tells of itself.

mod support;

use std::{
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
};

use serde_json::Value;
use support::{PATIENCE, Place, signal};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What an HTTP server answers at this address.
fn get(addr: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("somebody serves it");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers with text");
    text
}

/// The value of a figure, the sum over its labels.
fn figure(text: &str, name: &str) -> f64 {
    let of = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    };
    let values = text.lines().filter(of).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    values.sum()
}

#[test]
fn the_state_of_a_healthy_cluster_is_shown_to_people_and_to_programs() {
    let place = Place::new();
    let _up = place.up("");
    let text = place.ok("status");
    assert!(text.starts_with("cluster local, as n1 sees it\n"), "{text}");
    assert_eq!(text.matches("reachable").count(), 2, "{text}");
    let group = text.lines().find(|line| line.contains("uniform")).expect("its group is listed");
    assert!(group.contains("v1 {n1, n2, n3}") && group.ends_with("runs"), "{group}");

    let status = json(&place.ok("status --json"));
    assert_eq!(status["peers"].as_array().unwrap().len(), 2);
    assert_eq!(status["groups"][0]["name"], "log");
    assert_eq!(status["groups"][0]["rank"], 0);
    assert_eq!(json(&place.ok("group ls --json"))[0]["name"], "log");
    assert!(place.ok("group ls").contains("log.>"));
    let views = place.ok("group views log");
    assert!(views.lines().nth(1).unwrap().starts_with("v1 {n1, n2, n3}"), "{views}");
    assert!(json(&place.ok("group views log --json"))["installed_unix_ms"].is_u64());
    assert_eq!(place.ok("why log"), "group log at n1, in view v1 {n1, n2, n3}: waits for nobody\n");
    assert_eq!(json(&place.ok("why log --json"))["waits"], Value::Array(Vec::new()));
    assert_eq!(
        place.fails("why other", 1),
        "quorate: n1 has no group `other`: `quorate group ls` lists what it has, --connect asks another node"
    );
    assert_eq!(
        place.fails("group views other", 1),
        "quorate: there is no group `other`: `quorate group ls` lists those there are"
    );
}

#[test]
fn a_watched_status_follows_what_happens_until_it_is_interrupted() {
    let place = Place::new();
    let up = place.start("up --port 0 --processes");
    let lines = up.wait_for("ready in ");
    let process = |node: &str| -> u32 {
        let line = lines.iter().find(|line| line.starts_with(node)).expect("the node is listed");
        line.rsplit(' ').next().unwrap().parse().expect("its process is listed")
    };
    let watch = place.start("status --watch --every 50ms");
    watch.wait_for("runs");
    signal(process("n3"), "KILL");
    // Said by the failure detector, long before its link has timed out.
    watch.wait_for("unreachable for ");
    watch.wait_for("v2 {n1, n2}");

    // A majority is gone: the rest stands still, and says why.
    signal(process("n2"), "KILL");
    watch.wait_for("stands still: `quorate why log`");
    let why = place.ok("why log");
    assert!(why.contains("waits for a majority; out of reach: n2, for "), "{why}");
    assert!(why.contains("deliveries go on when it is back") && why.contains("a witness would"), "{why}");
    let waits = json(&place.ok("why log --json"));
    let waits = waits["waits"].as_array().unwrap();
    assert!(waits.iter().all(|wait| wait["for_ms"].is_u64() && wait["outlook"].is_string()), "{waits:?}");
    assert!(why.contains("waits for n2, which is out of reach, for "), "{why}");
    watch.signal("INT");
}

#[test]
fn a_member_prints_deliveries_and_views_and_multicasts_what_is_typed() {
    let place = Place::new();
    let _up = place.up("");
    let mut member = place.start("group join log --node n7");
    assert!(member.wait_for("n7").last().unwrap().starts_with("-- view v2 {n1, n2, n3, n7}: n7 joined"));
    member.write("hello everybody\n");
    assert_eq!(member.line(), "n7: hello everybody");
    let other = place.start("group join log --node n8 --json");
    let view = json(other.wait_for("n8 joined").last().unwrap());
    assert_eq!(view["event"], "view");
    member.wait_for("n8 joined");
    member.write("to both\n");
    let message = json(other.wait_for("to both").last().unwrap());
    assert_eq!((&message["sender"], &message["payload"]), (&"n7".into(), &"to both".into()));
    // The end of what is typed is the wish to leave.
    member.end_input();
    assert_eq!(member.code(), 0);
    let left = json(other.wait_for("n7 left").last().unwrap());
    assert_eq!(left["event"], "view");
}

#[test]
fn the_figures_are_served_for_prometheus() {
    let place = Place::new();
    let up = place.start("up --port 0 --metrics 127.0.0.1:0");
    let lines = up.wait_for("ready in ");
    let url = lines.iter().find_map(|line| line.strip_prefix("page at http://")).expect("it says where");
    let addr = url.split_once('/').unwrap().0;
    assert!(
        lines.contains(&format!("page at http://{addr}/, figures at http://{addr}/metrics")),
        "{lines:?}"
    );
    let before = get(addr, "/metrics");
    assert!(before.starts_with("HTTP/1.1 200 OK\r\n"), "{before}");
    place.ok("pub log.app hello");
    let after = get(addr, "/metrics");
    let delivered = "quorate_group_messages_delivered_total";
    assert!(figure(&after, delivered) > figure(&before, delivered), "{after}");
    // The three nodes are one process here: each has installed its view.
    for three in ["quorate_group_views_installed_total", "quorate_group_data_members"] {
        assert!((figure(&after, three) - 3.0).abs() < 0.1, "{three}: {after}");
    }
    assert!(figure(&after, "quorate_frame_bytes_sent_total") > 0.0, "{after}");
    assert!(get(addr, "/nothing").starts_with("HTTP/1.1 404 "));
}

#[test]
fn what_a_node_logs_says_which_node_it_is_and_what_a_group_logs_which_group() {
    let place = Place::new();
    let up = place.start("up --port 0 --log quorate=info");
    let lines = up.errors_until("a view begins");
    assert!(lines.len() > 3, "nodes start and are linked before: {lines:#?}");
    for line in &lines {
        assert!(["{id=n1.", "{id=n2.", "{id=n3."].iter().any(|node| line.contains(node)), "{line}");
    }
    let group = lines.last().unwrap();
    assert!(group.contains("group{name=\"log\"}") || group.contains("group{name=log}"), "{group}");
}

#[test]
fn browsers_find_a_page_and_it_what_all_nodes_see() {
    let place = Place::new();
    let up = place.start("up --port 0 --metrics 127.0.0.1:0");
    let lines = up.wait_for("ready in ");
    let url = lines.iter().find_map(|line| line.strip_prefix("page at http://")).expect("it says where");
    let addr = url.split_once('/').unwrap().0;
    let page = get(addr, "/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("fetch(\"status\""), "{page}");
    place.ok("pub log.app hello");
    let answer = get(addr, "/status");
    let picture = json(answer.lines().last().unwrap());
    let nodes = picture["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3, "{picture}");
    for node in nodes {
        let states = node["peer_states"].as_object().unwrap();
        assert!(states.len() == 2 && states.values().all(|state| state == "reachable"), "{node}");
        assert_eq!(node["standings"]["log"], "runs", "{node}");
        let group = &node["groups"][0];
        assert_eq!((&group["name"], &group["order"]), (&"log".into(), &"uniform".into()), "{group}");
        let frontiers = group["frontiers"].as_array().unwrap();
        assert_eq!(frontiers.len(), 3, "{group}");
        // At least the member that sent it has it; of oneself the others judge.
        assert!(frontiers.iter().any(|it| it["received_frames"].as_u64() > Some(0)), "{group}");
        let own = |it: &&Value| it["member"] == node["member"];
        assert!(frontiers.iter().find(own).unwrap()["behind_bytes"].is_null(), "{group}");
        let founding = &node["views"]["log"][0];
        assert_eq!(founding["changes"].as_array().unwrap().len(), 3, "{founding}");
        assert!(founding["installed_unix_ms"].as_u64() > Some(1_700_000_000_000), "{founding}");
        assert_eq!(node["why"]["log"].as_array().map(Vec::len), Some(0), "{node}");
    }
}

#[test]
fn each_process_serves_figures_of_its_own_and_a_port_in_use_is_named() {
    let place = Place::new();
    place.ok("cert init");
    place.ok("cert issue --node 1");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = socket.local_addr().unwrap();
    let config = format!("listen = \"{listen}\"\ncredentials = \"certs/n1\"\n");
    place.write("node.toml", &format!("{config}metrics = \"{addr}\"\n"));
    assert_eq!(
        place.fails("node", 1),
        format!("quorate: metrics: {addr} is in use: stop what listens there, or choose another port")
    );
    drop((taken, socket));
    let mut node = place.start("node");
    let line = node.line();
    assert!(line.ends_with(&format!("; page at http://{addr}/, figures at http://{addr}/metrics")), "{line}");
    assert!(get(&addr.to_string(), "/metrics").starts_with("HTTP/1.1 200 OK\r\n"));
    node.signal("INT");
    assert_eq!(node.code(), 0);
    assert_eq!(
        place.fails("up --port 0 --processes --metrics 127.0.0.1:0", 2),
        "quorate: --metrics needs a port with --processes: write for example 127.0.0.1:9100"
    );
}

#[test]
fn a_group_is_founded_as_its_founders_say_and_whoever_joins_takes_that_over() {
    let place = Place::new();
    let _up = place.up("--nodes 1");
    let founding = "group join chat --order total --founders n101,n102 --witnesses n103 --slow demote --lag-for 3s --lag-bytes 8192";
    let founders = ["n101", "n102"].map(|node| place.start(&format!("{founding} --node {node}")));
    for founder in &founders {
        founder.wait_for("-- view v1 {n101, n102}: n101 founded, n102 founded");
    }
    let wrong = place.fails("group join chat --founders n9 --slow kill", 2);
    assert!(wrong.contains("`kill` is no policy for slow members: choose block, demote or evict"), "{wrong}");
    let wrong = place.fails("group join log --slow evict", 2);
    assert!(wrong.contains("--founders <NODES>"), "{wrong}");
    let wrong = place.fails("group join chat --founders n9 --node n9 --lag-bytes 1", 1);
    assert_eq!(wrong, "quorate: groups.lag_bytes: 1 bytes is outside 4096 to 1073741824");
}
