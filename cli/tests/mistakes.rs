//! The usual mistakes: each is one line that says what to do, and an exit code that says whose it is.

mod support;

use support::Place;

/// Runs a command that must fail so: the beginning and the end of its line.
fn fails(place: &Place, args: &str, code: i32, (begins, ends): (&str, &str)) {
    let line = place.fails(args, code);
    assert!(
        line.starts_with(&format!("quorate: {begins}")) && line.ends_with(ends),
        "quorate {args}: {line}"
    );
}

#[test]
fn wrong_arguments_are_told_on_one_line() {
    let place = Place::new();
    for (args, begins) in [
        ("pub a..b x", "invalid value 'a..b' for '<SUBJECT>': `a..b` has an empty part: write words"),
        ("sub a.>.b", "invalid value 'a.>.b' for '<PATTERN>': `a.>.b` has a misplaced wildcard"),
        (
            "sub a --idle soon",
            "invalid value 'soon' for '--idle <SPAN>': `soon` is not a span of time: write",
        ),
        (
            "status --connect here:1",
            "invalid value 'here:1' for '--connect <ADDR>': `here:1` is not an address with a port: write",
        ),
        ("up --metrics 9100", "invalid value '9100' for '--metrics <ADDR>': `9100` is not an address"),
        ("up --nodes 0", "invalid value '0' for '--nodes <NODES>': 0 is not in 1..=64"),
        ("reply x", "the following required arguments were not provided: --exec <COMMAND>"),
        ("cert issue", "the following required arguments were not provided: <--node <NODE>|--client"),
        ("cert init --cluster Prod", "invalid value 'Prod' for '--cluster <NAME>': `Prod` does not name a"),
        ("completions sh", "invalid value 'sh' for '<SHELL>' [possible values: bash, "),
        ("stauts", "unrecognized subcommand 'stauts'; a similar subcommand exists: 'status'"),
        (
            "bench multicast --orders best",
            "invalid value 'best' for '--orders <LIST>': `best` is not an order",
        ),
    ] {
        fails(&place, args, 2, (begins, " (--help shows more)"));
    }
    // Nothing was asked for: that is answered with what can be.
    let ended = place.run("");
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("Usage: ") && ended.err.contains("Exit codes:"), "{ended:?}");
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_to_name_instead() {
    let place = Place::new();
    place.write("file", "addresses = 7");
    place.write("node.toml", "listen = \"127.0.0.1:4699\"\ncredentials = \"certs/n1\"\ndata = \"file/n1\"\n");
    place.ok("cert init");
    place.ok("cert issue --node n1");
    let other_profile = "name another with --profile";
    for (args, begins, ends) in [
        ("status --profile none", "none does not exist: is the cluster running", "--profile otherwise"),
        ("status --profile file", "file is not a profile (invalid type", other_profile),
        ("pub a b --profile certs", "cannot use certs, name another with --profile: ", ""),
        ("up --port 0 --profile file/profile", "cannot use file/profile.lock, name another with", ""),
        ("up --port 0 --data file", "cannot write file: ", "choose another folder with --data"),
        ("node --config certs", "cannot read certs, name another file with --config: ", ""),
        ("node", "the data folder cannot be used: file/n1/lock: ", "check that it exists and may be written"),
        ("cert init --out file/ca", "file/ca/ca.pem cannot be used: ", ""),
        ("cert issue --node n2 --ca none", "none/ca.pem does not exist: make credentials first", ""),
        ("cert issue --node n1", "certs/n1/node.pem exists already: remove it first", ""),
    ] {
        fails(&place, args, 1, (begins, ends));
    }
}

#[test]
fn what_a_running_cluster_does_not_have_or_does_not_allow_is_said() {
    let place = Place::new();
    let up = place.up("--nodes 1");
    place.ok("cert init --cluster local --out other");
    place.ok("cert issue --client eve --ca other");
    for (args, begins, ends) in [
        ("why none", "n1 has no group `none`: `quorate group ls` lists what it has", ""),
        ("group views none", "there is no group `none`: `quorate group ls` lists those there are", ""),
        ("group join none", "the cluster runs no group `none`: found it with --founders", ""),
        ("group join log --node n1", "n1 is running already: choose another number with --node", ""),
        ("status --credentials none", "none/ca.pem does not exist: make credentials first", ""),
        (
            "status --credentials other/eve --timeout 500ms",
            "no node answers at 127.0.0.1:",
            "and are the credentials of the same cluster?",
        ),
    ] {
        fails(&place, args, 1, (begins, ends));
    }
    let refused = up.wait_for_error("a peer was refused");
    assert!(refused.contains("reason=it refused this side"), "{refused}");
    fails(&place, "group join log --order fifo", 2, ("group `log` delivers in uniform order: leave out", ""));
    for (args, begins, ends) in [
        (
            "up --nodes 3 --port 65534",
            "3 nodes need as many ports from 65534 on: choose",
            " 65533 or lower with --port",
        ),
        (
            "up --port 0 --processes --profile p --metrics 127.0.0.1:65535",
            "3 nodes need as many ports from 65535 on: choose",
            " 65533 or lower with --metrics",
        ),
    ] {
        fails(&Place::new(), args, 2, (begins, ends));
    }
}
