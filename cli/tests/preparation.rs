//! `quorate cert` and `quorate doctor`: before anything runs.

mod support;

use std::net::UdpSocket;

use support::Place;

fn prepared(listen: &str, more: &str) -> Place {
    let place = Place::new();
    place.ok("cert init --cluster prod");
    place.ok("cert issue --node n1");
    place.write("node.toml", &format!("listen = \"{listen}\"\ncredentials = \"certs/n1\"\n{more}\n"));
    place
}

/// A port of loopback that is taken while the socket lives.
fn taken() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    (socket, addr)
}

#[test]
fn an_authority_issues_credentials_and_overwrites_nothing() {
    let place = Place::new();
    assert_eq!(
        place.ok("cert init --cluster prod"),
        "authority of cluster prod, valid for 3650 days\n  certs: ca.pem, and ca.key that must stay secret\n"
    );
    assert_eq!(
        place.ok("cert issue --node 7 --days 30"),
        "quorate://prod/node/7, valid for 30 days\n  certs/n7: ca.pem, node.pem, node.key\n"
    );
    let issued = place.ok("cert issue --client reports --json");
    assert!(issued.contains("\"folder\":\"certs/reports\"") && issued.contains("quorate://prod/client/"));

    let exists = "exists already: remove it first if it is not needed any more";
    assert_eq!(place.fails("cert init --cluster prod", 1), format!("quorate: certs/ca.pem {exists}"));
    assert_eq!(place.fails("cert issue --node 7", 1), format!("quorate: certs/n7/node.pem {exists}"));
}

#[test]
fn wrong_arguments_of_cert_say_what_to_write() {
    let place = Place::new();
    assert_eq!(
        place.fails("cert issue --node 1", 1),
        "quorate: certs/ca.pem does not exist: make credentials first, or name another path"
    );
    place.ok("cert init");
    assert_eq!(
        place.fails("cert issue --client ../../x", 2),
        "quorate: `../../x` cannot name a folder: use letters, digits and hyphens, or give --out"
    );
    assert_eq!(place.run("cert issue").code, 2);
    assert_eq!(place.run("cert issue --node one").code, 2);
}

#[test]
fn certificates_are_revoked_by_holder_by_number_and_by_file() {
    let place = Place::new();
    place.ok("cert init --cluster prod");
    for node in ["n1", "n2", "n3", "n4"] {
        place.ok(&format!("cert issue --node {node}"));
    }
    place.ok("cert issue --client reports --out elsewhere");
    let json = |args: &str| -> serde_json::Value {
        serde_json::from_str(&place.ok(args)).expect("the result is JSON")
    };
    let by_holder = json("cert revoke --node 1 --json");
    assert_eq!(by_holder["revoked"][0]["identity"], "quorate://prod/node/1");
    assert_eq!(by_holder["folders"].as_array().map(Vec::len), Some(4), "those below: {by_holder}");
    let by_file = json("cert revoke --certificate certs/n2/node.pem --json");
    assert_eq!(by_file["revoked"][0]["identity"], "quorate://prod/node/2");
    let issued = std::fs::read_to_string(place.path().join("certs/issued.jsonl")).unwrap();
    let third = issued.lines().find(|line| line.contains("node/3")).expect("all are noted");
    let third: serde_json::Value = serde_json::from_str(third).unwrap();
    let serial = third["serial"].as_str().unwrap();
    let text = place.ok(&format!("cert revoke --serial {serial}"));
    assert!(text.starts_with(&format!("a certificate is revoked, serial number {serial}\n")), "{text}");
    let by_name = json("cert revoke --client reports --json");
    assert_eq!((&by_name["revoked_total"], &by_name["list"]), (&4.into(), &"certs/ca.crl".into()));

    assert!(place.fails("cert revoke --node n9", 1).starts_with(
        "quorate: no certificate of n9 is noted in certs/issued.jsonl: name it with --certificate or --serial"
    ));
    place.ok("cert init --cluster prod --out others");
    let other = place.fails("cert revoke --certificate certs/n4/node.pem --ca others", 1);
    assert!(other.contains("certs/n4/node.pem was not issued by the authority of cluster prod"), "{other}");
    assert_eq!(place.run("cert revoke").code, 2);
    assert_eq!(place.run("cert revoke --serial xyz").code, 2);
}

#[test]
fn what_was_issued_is_listed_for_people_and_for_programs() {
    let place = Place::new();
    assert!(place.fails("cert ls", 1).starts_with("quorate: certs/ca.pem does not exist: make credentials"));
    place.ok("cert init --cluster prod");
    assert_eq!(place.ok("cert ls"), "nothing was issued yet: `quorate cert issue` makes credentials\n");
    assert_eq!(place.ok("cert ls --json"), "[]\n");
    place.ok("cert issue --node n1");
    place.ok("cert issue --client reports --days 2");
    place.ok("cert revoke --client reports");
    let text = place.ok("cert ls");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["name", "role", "serial", "number", "valid", "until", "state"]);
    assert_eq!((&rows[1][..2], rows[1][5]), (&["n1", "node"][..], "valid"), "{text}");
    assert_eq!(
        (&rows[2][..2], &rows[2][5..7]),
        (&["reports", "client"][..], &["revoked", "since"][..]),
        "{text}"
    );

    let listed: serde_json::Value = serde_json::from_str(&place.ok("cert ls --json")).unwrap();
    let (node, client) = (&listed[0], &listed[1]);
    assert_eq!((&node["identity"], &node["state"]), (&"quorate://prod/node/1".into(), &"valid".into()));
    assert!(node["revoked_since_unix_s"].is_null() && node["serial"] == rows[1][2], "{node}");
    let (until, since) = (&client["valid_until_unix_s"], &client["revoked_since_unix_s"]);
    let days = (until.as_u64().unwrap() - since.as_u64().unwrap() + 60) / 86_400;
    assert_eq!((days, &client["state"]), (2, &"revoked".into()));
}

#[test]
fn shells_are_told_every_command() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.ok(&format!("completions {shell}"));
        for word in ["quorate", "status", "revoke", "multicast", "in-flight"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn the_doctor_finds_nothing_wrong_and_explains_the_time_outs() {
    let place = prepared("127.0.0.1:4699", "detect_within = \"1s\"\ndata = \"data\"");
    let report: serde_json::Value =
        serde_json::from_str(&place.run("doctor --json").out).expect("the report is JSON");
    for finding in report["findings"].as_array().unwrap() {
        // Whether this port is free and how large buffers may be is up to the machine.
        if !["address", "socket buffers"].contains(&finding["check"].as_str().unwrap()) {
            assert_eq!(finding["verdict"], "ok", "{finding}");
        }
    }
    let spans = report["timeouts"].as_array().unwrap();
    assert!(spans.iter().any(|span| span["span_ms"] == 192.0), "five heartbeats to a silence: {spans:?}");
    let explained = quorate::membership::Timing::DEFAULT.explain();
    let names = |span: &serde_json::Value| span["name"].as_str().unwrap().to_owned();
    assert_eq!(
        spans.iter().map(names).collect::<Vec<_>>(),
        explained.iter().map(|it| it.name).collect::<Vec<_>>()
    );
    assert!(!place.path().join("data").exists(), "the doctor changes nothing");
}

#[test]
fn the_doctor_explains_what_becomes_of_slow_members() {
    let group = "[[groups]]\nname = \"log\"\nfounders = [\"n1\", \"n2\"]\n";
    for (keys, verdict, explained) in [
        ("", "ok", "log of n1, n2, uniform order; members that lag are waited for, and told of after 5 s"),
        (
            "slow = \"demote\"\nlag_for = \"2s\"\nlag_bytes = 8192",
            "ok",
            "a member that for 2 s does not catch up, or is more than 8 KiB behind, becomes a learner until it \
             keeps up",
        ),
        (
            "slow = \"evict\"\nlag_bytes = 4194304",
            "warning",
            "or is more than 4 MiB behind, is removed, and comes back later; its founders have no more than 2 MiB \
             on the way, so lag_bytes never applies",
        ),
    ] {
        let place = prepared("127.0.0.1:4699", &format!("{group}{keys}"));
        let report: serde_json::Value = serde_json::from_str(&place.run("doctor --json").out).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let found =
            findings.iter().find(|finding| finding["check"] == "group").expect("the group is explained");
        assert_eq!(found["verdict"], verdict, "{found}");
        assert!(found["text"].as_str().unwrap().ends_with(explained), "{found}");
    }
}

#[test]
fn a_node_says_that_it_keeps_no_state_of_an_application() {
    let group = "[[groups]]\nname = \"app\"\nfounders = [\"n1\", \"n2\"]\nwitnesses = [\"n3\"]\nstate = true";
    let place = prepared("127.0.0.1:4699", group);
    let why = "node.toml:4: group `app` has the state of an application, and `quorate node` runs none: run n1 in a \
               program that calls `Node::join_with_state`, list it under `witnesses`, or leave out `state`";
    assert_eq!(place.fails("node", 1), format!("quorate: {why}"));
    let ended = place.run("doctor");
    assert!(ended.code == 1 && ended.out.contains(why), "{ended:?}");
}

#[test]
fn the_doctor_names_a_port_in_use() {
    let (_socket, addr) = taken();
    let ended = prepared(&addr, "").run("doctor");
    assert_eq!(ended.code, 1);
    assert!(
        ended.out.contains(&format!("{addr} is in use: stop what listens there, or choose another port")),
        "{ended:?}"
    );
    assert_eq!(ended.err, "quorate: the node cannot start: mend what failed above\n");
}

#[test]
fn the_doctor_names_a_data_folder_that_is_a_file() {
    let place = prepared("127.0.0.1:4699", "data = \"data/n1\"");
    place.write("data", "");
    let ended = place.run("doctor");
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("data is not a folder: choose another data folder"), "{ended:?}");
}

#[test]
fn the_doctor_names_what_is_damaged_or_contradicts_itself() {
    for (more, file, why) in [
        ("data = \"data\"", "x", "data/incarnation does not hold a number"),
        ("payload_bytes_max = 5", "1", "node.toml: payload_bytes_max: 5 bytes is outside 1024 to 67108864"),
    ] {
        let place = prepared("127.0.0.1:4699", more);
        std::fs::create_dir(place.path().join("data")).unwrap();
        place.write("data/incarnation", file);
        let ended = place.run("doctor");
        assert!(ended.code == 1 && ended.out.contains(why), "{ended:?}");
    }
}

#[test]
fn the_doctor_names_missing_credentials() {
    let place = prepared("127.0.0.1:4699", "");
    std::fs::remove_file(place.path().join("certs/n1/node.key")).unwrap();
    let ended = place.run("doctor");
    assert_eq!(ended.code, 1);
    assert!(
        ended.out.contains("certs/n1/node.key does not exist: make credentials first, or name another path"),
        "{ended:?}"
    );
}

#[test]
fn a_configuration_that_is_wrong_is_told_by_its_line() {
    let place = prepared("127.0.0.1:4699", "lisen = 1");
    assert_eq!(
        place.fails("doctor", 1),
        "quorate: node.toml:3: unknown field `lisen`, expected one of `listen`, `credentials`, `seeds`, \
         `data`, `metrics`, `detect_within`, `payload_bytes_max`, `lane_window_bytes`, `lanes_max`, `congestion`, `groups`"
    );
    let place =
        prepared("127.0.0.1:4699", "[[groups]]\nname = \"a\"\nfounders = [\"n1\"]\nslow_policy = \"evict\"");
    let line = place.fails("doctor", 1);
    assert!(
        line.starts_with("quorate: node.toml:6: unknown field `slow_policy`, expected one of `name`"),
        "{line}"
    );
    for key in ["slow", "lag_for", "lag_bytes", "relay_bytes", "state", "state_bytes_max"] {
        assert!(line.contains(&format!("`{key}`")), "{line}");
    }
    assert_eq!(
        place.fails("doctor --config other.toml", 1),
        "quorate: other.toml does not exist: write one (`quorate doctor --help` shows an example), or name \
         another with --config"
    );
}
