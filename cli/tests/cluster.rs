//! `quorate up` and `quorate node`: clusters that start, lose a node and stop.

mod support;

use std::{fs, net::UdpSocket, path::PathBuf};

use support::{Place, eventually, signal, terminal};

/// The number of the process that runs a node, by what `up --processes` says.
fn process_of(node: &str, lines: &[String]) -> u32 {
    let line = lines.iter().find(|line| line.starts_with(&format!("{node}  "))).expect("the node is listed");
    line.rsplit(' ').next().unwrap().parse().expect("its process is listed")
}

fn profile(place: &Place) -> PathBuf {
    place.path().join(".local/state/quorate/profile.toml")
}

#[test]
fn a_local_cluster_tells_clients_where_it_is_and_stops_cleanly() {
    let place = Place::new();
    let mut up = place.up("");
    let text = fs::read_to_string(profile(&place)).expect("clients are told where the cluster is");
    let folder = text.split('"').find(|part| part.ends_with("certs/client")).expect("and their credentials");
    assert!(fs::metadata(folder).is_ok());
    up.signal("INT");
    assert_eq!(up.code(), 0);
    assert!(!profile(&place).exists(), "clients are not led to nobody");
    assert!(fs::metadata(folder).is_err(), "the temporary folder is removed");
}

#[test]
fn a_cluster_is_ready_when_all_nodes_are_in_one_view_and_says_how_long_that_took() {
    let place = Place::new();
    let up = place.start("up --port 0 --json --processes");
    let json = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("a line of JSON") };
    let ready = json(&up.line());
    assert_eq!((&ready["event"], &ready["group"]), (&"ready".into(), &"log".into()), "{ready}");
    assert!(ready["ready_ms"].as_f64() > Some(0.0), "{ready}");
    let nodes = ready["nodes"].as_array().expect("its nodes are listed");
    assert_eq!(nodes.len(), 3);
    let mut views = Vec::new();
    for node in nodes {
        assert!(node["process"].is_u64(), "{node}");
        let addr = node["addr"].as_str().expect("its address is listed");
        let status = json(&place.ok(&format!("status --json --connect {addr}")));
        let view = &status["groups"][0]["view"];
        assert_eq!(view["members"].as_array().map(Vec::len), Some(3), "{status}");
        views.push(view["id"].to_string());
    }
    views.dedup();
    assert_eq!(views.len(), 1, "all are in one view: {views:?}");
    let victim = nodes[2]["process"].as_u64().unwrap();
    signal(victim.try_into().unwrap(), "KILL");
    // The end of a process and the view without it are told by different parties.
    let mut told = up.wait_for("n3 unreachable");
    assert_eq!(json(told.last().unwrap())["event"], "view");
    let ended = |told: &[String]| told.iter().map(|line| json(line)).find(|told| told["event"] == "ended");
    if ended(&told).is_none() {
        told.extend(up.wait_for("ended"));
    }
    assert_eq!(ended(&told).unwrap()["node"], "n3");
}

#[test]
fn a_second_local_cluster_says_that_one_is_running() {
    let place = Place::new();
    let up = place.up("--nodes 1");
    assert_eq!(
        place.fails("up --port 0", 1),
        format!(
            "quorate: a local cluster is running already (process {}): use it, stop it there with Ctrl-C, or \
             give another one its own --profile and --port",
            up.pid()
        )
    );
    let mut other = place.up("--nodes 1 --profile other.toml");
    other.signal("TERM");
    assert_eq!(other.code(), 0);
}

#[test]
fn a_port_in_use_is_named() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    assert_eq!(
        Place::new().fails(&format!("up --nodes 1 --port {}", addr.port()), 1),
        format!("quorate: {addr} is in use: stop what listens there, or choose another port with --port")
    );
}

#[test]
fn a_data_folder_without_permission_is_named() {
    // Not even the superuser may make a folder there.
    assert_eq!(
        Place::new().fails("up --port 0 --data /sys/quorate", 1),
        "quorate: no permission to write /sys/quorate: change its owner or mode, or choose another folder \
         with --data"
    );
}

#[test]
fn a_killed_process_is_reported_and_comes_back_and_the_parent_takes_all_with_it() {
    let place = Place::new();
    let up = place.start("up --port 0 --processes --data cluster");
    let lines = up.wait_for("ready in ");
    let pids: Vec<_> = ["n1", "n2", "n3"].map(|node| process_of(node, &lines)).into();
    signal(pids[2], "KILL");
    up.wait_for("n3 ended (signal: 9 (SIGKILL)); start it again with");
    assert!(up.line().ends_with("cluster/n3.toml"));
    assert_eq!(
        up.wait_for("group log is in view v2").last().unwrap(),
        "group log is in view v2 {n1, n2}: n3 unreachable"
    );

    let mut again = place.start("node --config cluster/n3.toml");
    assert!(again.line().starts_with("n3 of cluster local serves 127.0.0.1:"));
    assert_eq!(again.line(), "n3: group log is in view v3 {n1, n2, n3}: n3 joined");
    again.signal("TERM");
    assert_eq!(again.code(), 0);
    up.wait_for("group log is in view v4 {n1, n2}: n3 left");

    let mut orphan = place.start("node --config cluster/n3.toml");
    orphan.wait_for("n3: group log is in view v5");
    up.signal("KILL");
    // Its children leave with it, each with a view, or the group stands still for want of them.
    orphan.wait_for("group log");
    orphan.signal("INT");
    assert_eq!(orphan.code(), 0);
}

#[test]
fn a_node_needs_its_credentials_its_port_and_its_data_folder() {
    let place = Place::new();
    place.ok("cert init");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = socket.local_addr().unwrap();
    place.write("node.toml", &format!("listen = \"{taken}\"\ncredentials = \"certs/n1\"\ndata = \"data\"\n"));
    assert_eq!(
        place.fails("node", 1),
        "quorate: certs/n1/ca.pem does not exist: make credentials first, or name another path"
    );
    place.ok("cert issue --node 1");
    assert_eq!(
        place.fails("node", 1),
        format!("quorate: {taken} is in use: stop what listens there, or choose another port")
    );
    drop(socket);
    let mut node = place.start("node");
    assert_eq!(node.line(), format!("n1 of cluster quorate serves {taken}"));
    assert_eq!(
        place.fails("node", 1),
        "quorate: another process uses the data folder data: stop it, or give this node a folder of its own"
    );
    node.signal("INT");
    assert_eq!(node.code(), 0);
}

#[test]
fn what_a_killed_cluster_has_left_behind_goes_with_the_next() {
    let place = Place::new();
    let temporary = || {
        let entries = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("quorate-")).collect::<Vec<_>>()
    };
    let up = place.start("up --port 0 --nodes 1");
    up.wait_for("ready in ");
    drop(up); // kills it
    let left = temporary();
    assert_eq!(left.len(), 1, "keys of a cluster that is no more");

    let mut up = place.start("up --port 0 --nodes 1");
    up.wait_for("ready in ");
    assert!(!temporary().contains(&left[0]), "{left:?}");
    up.signal("INT");
    assert_eq!(up.code(), 0);
    assert!(temporary().is_empty());
}

#[test]
fn a_cluster_of_processes_is_gone_after_an_interrupt() {
    let place = Place::new();
    let mut up = place.start("up --port 0 --processes");
    let lines = up.wait_for("ready in ");
    let pids = ["n1", "n2", "n3"].map(|node| process_of(node, &lines));
    up.signal("INT");
    assert_eq!(up.code(), 0);
    for pid in pids {
        assert!(fs::metadata(format!("/proc/{pid}")).is_err(), "process {pid} is left");
    }
    assert!(!profile(&place).exists(), "clients are not led to nobody");
}

#[test]
fn a_cluster_stops_when_its_terminal_is_closed() {
    let place = Place::new();
    let (screen, terminal) = terminal::pair();
    let mut up = place.command("up --port 0 --nodes 1").stdin(terminal).spawn().unwrap();
    eventually("the cluster is ready", || profile(&place).exists());
    drop(screen);
    signal(up.id(), "HUP");
    assert_eq!(up.wait().unwrap().code(), Some(0));
    assert!(!profile(&place).exists(), "clients are not led to nobody");
}
