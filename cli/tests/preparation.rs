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
    assert!(spans.iter().any(|span| span["span_ms"] == 200.0), "the heartbeat is a fifth: {spans:?}");
    let explained = quorate::membership::Timing::DEFAULT.explain();
    let names = |span: &serde_json::Value| span["name"].as_str().unwrap().to_owned();
    assert_eq!(
        spans.iter().map(names).collect::<Vec<_>>(),
        explained.iter().map(|it| it.name).collect::<Vec<_>>()
    );
    assert!(!place.path().join("data").exists(), "the doctor changes nothing");
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
         `data`, `metrics`, `detect_within`, `payload_bytes_max`, `groups`"
    );
    assert_eq!(
        place.fails("doctor --config other.toml", 1),
        "quorate: other.toml does not exist: write one (`quorate doctor --help` shows an example), or name \
         another with --config"
    );
}
