//! `quorate bench`: our figures beside their baselines.

mod support;

use std::fs;

use support::{Place, Running};

/// The lines of JSON that are figures: all but the first, which has the machine and the settings.
fn lines_of_figures(json: &str) -> Vec<serde_json::Value> {
    let mut lines = json.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
    let head: serde_json::Value = lines.next().expect("a first line");
    assert!(head["machine"]["cores"].as_u64() > Some(0) && head["settings"]["more"].is_string(), "{head}");
    assert!(head["case"].is_null() && head["value"].is_null(), "{head}");
    let figures: Vec<serde_json::Value> = lines.collect();
    for figure in &figures {
        for key in ["bench", "case", "value", "unit", "baseline", "ratio", "wanted", "holds", "runs"] {
            assert!(figure.get(key).is_some(), "{key}: {figure}");
        }
        assert!(figure.get("machine").is_none(), "{figure}");
    }
    figures
}

#[test]
fn a_group_is_measured_beside_bare_quinn_with_one_line_of_json_per_figure() {
    let place = Place::new();
    let figures = place.ok(
        "bench multicast --members 2 --orders total --senders all --sizes 64 --rounds 1 --round 20ms --json",
    );
    let cases = lines_of_figures(&figures);
    let named: Vec<_> = cases.iter().map(|case| case["case"].as_str().expect("a name")).collect();
    assert_eq!(
        named,
        [
            "2 members, total, all sending, 64 B throughput",
            "2 members, total, 64 B latency p50",
            "2 members, total, 64 B latency p99",
            "2 members, bare quinn exchanging as in total order, 64 B latency p50",
            "2 members, bare quinn exchanging as in total order, 64 B latency p99",
            "2 members, total, 64 B latency, one after the other, p50",
            "2 members, total, 64 B latency, one after the other, p99",
            "2 members, bare quinn exchanging as in total order, 64 B latency, one after the other, p50",
            "2 members, bare quinn exchanging as in total order, 64 B latency, one after the other, p99",
        ]
    );
    for case in &cases {
        assert!(case["value"].as_f64() > Some(0.0) && case["baseline"].as_f64() > Some(0.0), "{case}");
    }
}

#[test]
fn heartbeats_are_measured_beside_data_and_idle() {
    let place = Place::new();
    let figures = place.ok("bench control --sizes 1024 --lost 1 --rounds 1 --round 400ms --json");
    let cases = lines_of_figures(&figures);
    let named: Vec<_> = cases.iter().map(|case| case["case"].as_str().expect("a name")).collect();
    let case = |reading| format!("heartbeat beside 1 KiB messages, 1 % lost {reading}");
    let readings = ["p50", "p99", "p99.9", "max", "silence p99.9", "silence max", "without an answer"];
    assert_eq!(named, readings.map(case));
    assert_eq!(cases[2]["wanted"]["value_below"], 125_000.0);
}

#[test]
fn publishers_are_measured_past_the_bus_actor_and_through_it() {
    let place = Place::new();
    let figures = place.ok("bench bus --publishers 1,2 --to nobody,group --rounds 1 --round 20ms --json");
    let cases = lines_of_figures(&figures);
    let named: Vec<_> = cases.iter().map(|case| case["case"].as_str().expect("a name")).collect();
    assert_eq!(
        named,
        [
            "1 thread, nobody subscribes, 64 B throughput",
            "2 threads, nobody subscribes, 64 B throughput",
            "1 thread, bound to a group of one, 64 B throughput",
            "2 threads, bound to a group of one, 64 B throughput",
        ]
    );
}

/// The names of the cases that a benchmark has measured, and whether each is above zero or may be none.
fn cases(figures: &str, may_be_none: &str) -> Vec<String> {
    let named = lines_of_figures(figures).into_iter().map(|case| {
        let name = case["case"].as_str().expect("a name").to_owned();
        assert!(case["value"].as_f64() > Some(0.0) || name.contains(may_be_none), "{case}");
        name
    });
    named.collect()
}

#[test]
fn the_bus_is_measured_from_node_to_node_and_so_are_requests() {
    let place = Place::new();
    let figures = place.ok("bench bus --to remote,request --sizes 64 --rounds 1 --round 20ms --json");
    let both = ["to subscribers at two other nodes, 64 B throughput", "request and answer, 64 B p50"];
    let named = cases(&figures, "nothing");
    assert_eq!(named[..2], both);
    assert_eq!(named.len(), 3, "{figures}");
}

#[test]
fn of_several_runs_the_medians_are_shown() {
    let place = Place::new();
    let run = "bench multicast --members 2 --senders one --sizes 64 --rounds 1 --round 20ms --runs 2";
    let figures = place.ok(&format!("{run} --json"));
    let named = cases(&figures, "nothing");
    assert_eq!(named[0], "2 members, uniform, one sending, 64 B throughput");
    assert_eq!(named.len(), 9, "each figure once: {figures}");
    assert!(lines_of_figures(&figures).iter().all(|figure| figure["runs"] == 2), "{figures}");
    assert!(figures.starts_with("{\"machine\":") && figures.contains("\"runs_asked\":2"), "{figures}");
    assert!(place.ok(run).contains("medians of 2 runs; "));
    assert!(place.fails("bench multicast --runs 0", 2).contains("--runs"));
}

#[test]
fn long_messages_that_are_handed_on_are_measured_beside_copies_to_each() {
    let place = Place::new();
    let figures = place.ok("bench large --sizes 1048576 --megabits 200,0 --rounds 1 --round 20ms --json");
    let named = cases(&figures, "nothing");
    assert_eq!(
        named,
        [
            "1 MiB to 4 members, senders bound to 200 Mbit/s throughput",
            "1 MiB to 4 members, senders not bounded throughput",
        ]
    );
    let refused = place.fails("bench large --receivers 2", 2);
    assert_eq!(refused, "quorate: to 2 members nothing is handed on: choose 3 to 8");
}

#[test]
fn a_long_run_compares_its_end_with_its_beginning() {
    let place = Place::new();
    let figures = place.ok("bench soak --orders total --beside nothing,loss --size 64 --length 400ms --json");
    let named = cases(&figures, "members");
    let case = |beside, what| format!("total, 64 B, {beside} {what}");
    let whats = [
        "throughput",
        "p50",
        "p99",
        "resident",
        "members that left or were set aside",
        "live members taken for dead",
        "messages, by each counter",
        "processor cores kept busy, whole machine",
        "processor cores kept busy, this process",
    ];
    let besides = ["undisturbed", "1 % of packets lost"];
    let mut expected = besides.map(|beside| whats.map(|what| case(beside, what))).concat();
    expected.insert(expected.len() - 3, case("1 % of packets lost", "packets sent again"));
    assert_eq!(named, expected);
    let refused = place.fails("bench soak --length 1ms", 2);
    assert_eq!(refused, "quorate: a run of 1ms is none: choose 310ms or more");
    assert!(place.fails("bench soak --beside rain", 2).contains("choose nothing, block, demote, evict"));
}

#[test]
fn many_members_and_groups_are_measured() {
    let place = Place::new();
    let run = "bench scale --members 3 --groups 2 --idle 50ms --rounds 1 --json";
    let named = cases(&place.ok(run), "an idle node, busy");
    assert!(named.contains(&"2 groups: a node dies, until all have the next view".to_owned()), "{named:?}");
    assert!(named[0].starts_with("3 members: "), "{named:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_nodes_need_is_measured_idle_and_under_load() {
    let place = Place::new();
    // Also how busy idle nodes are is more than nothing, however short they are watched.
    let named = cases(&place.ok("bench memory --idle 300ms --load 300ms --json"), "nothing");
    assert!(named.contains(&"3 nodes, the worst: idle, busy".to_owned()), "{named:?}");
    assert_eq!(named.len(), 4);
}

#[test]
fn settings_of_quic_are_measured_one_by_one() {
    let place = Place::new();
    let named = cases(
        &place.ok("bench quic --sizes 1024 --rounds 1 --round 10ms --json"),
        "socket buffers of 16 MiB",
    );
    let ahead = "64 B round trip ahead of a full stream, beside in turns with it, p50";
    assert!(named.contains(&ahead.to_owned()), "{named:?}");
    assert!(named.contains(&"1 KiB beside BBR throughput".to_owned()), "{named:?}");
    assert!(named.contains(&"new connection beside one resumed with a ticket, p50".to_owned()), "{named:?}");
}

/// Has a machine serve as this node. Returns where, too.
fn serve(place: &Place, node: u32) -> (Running, String) {
    let serving = place.start(&format!("bench serve --listen 127.0.0.1:0 --credentials certs/n{node}"));
    let line = serving.line();
    let addr = line.strip_prefix("answers at ").and_then(|rest| rest.strip_suffix("; Ctrl-C stops it"));
    let addr = addr.unwrap_or_else(|| panic!("{line}")).to_owned();
    (serving, addr)
}

#[test]
fn machines_serve_and_another_one_measures_groups_and_the_bus_with_them() {
    let place = Place::new();
    place.ok("cert init --cluster demo");
    for node in [1, 2, 3] {
        place.ok(&format!("cert issue --node {node}"));
    }
    let (_first, a) = serve(&place, 1);
    let (_second, b) = serve(&place, 2);
    let common = format!("--peers {a},{b} --credentials certs/n3 --rounds 1 --round 20ms --json");
    let named = cases(&place.ok(&format!("bench multicast --sizes 64,65536 {common}")), "nothing");
    let case = |what: &str| format!("3 members, uniform, {what}");
    assert_eq!(
        named,
        [
            case("one sending, 64 B between machines, throughput"),
            case("one sending, 64 KiB between machines, throughput"),
            case("64 B latency between machines, p50"),
            case("64 B latency between machines, p99"),
        ]
    );
    // The nodes of the first measurement have gone by then, or are about to.
    let named = cases(&place.ok(&format!("bench bus --sizes 1024 {common}")), "nothing");
    assert_eq!(
        named,
        [
            "to subscribers on 2 other machines, 1 KiB throughput",
            "request and answer between machines, 1 KiB p50",
            "request and answer between machines, 1 KiB p99",
        ]
    );
    let refused = place.fails(&format!("bench bus --to local {common}"), 2);
    assert!(refused.ends_with("stays on its node: choose remote or request"), "{refused}");
    let refused = place.fails(&format!("bench multicast --senders all {common}"), 2);
    assert!(refused.contains("--senders") && refused.contains("--peers"), "{refused}");
}

#[test]
fn one_machine_serves_and_another_one_measures_its_links_to_it() {
    let place = Place::new();
    place.ok("cert init --cluster demo");
    for node in [1, 2] {
        place.ok(&format!("cert issue --node {node}"));
    }
    let (_serving, addr) = serve(&place, 1);
    let common = "--credentials certs/n2 --sizes 64 --rounds 1 --round 10ms --json";
    let named = cases(&place.ok(&format!("bench transport --peers {addr} {common}")), "nothing");
    let expected =
        ["64 B throughput", "64 B in bundles, throughput", "64 B round trip, this machine asks, p50"];
    assert_eq!(named.len(), 8, "{named:?}");
    for (kind, named) in ["quic", "tcp"].iter().zip(named.chunks(4)) {
        for (name, case) in named.iter().zip(expected) {
            assert_eq!(*name, format!("{addr} {kind} {case}"));
        }
    }
    let nobody = place.fails(&format!("bench transport --peers 127.0.0.1:1 {common}"), 1);
    assert!(nobody.contains("nobody answered at 127.0.0.1:1"), "{nobody}");
    assert!(place.fails(&format!("bench transport --peers {addr}"), 2).contains("--credentials <DIR>"));
}

#[test]
fn ciphers_are_measured_beside_the_one_that_nodes_prefer() {
    let place = Place::new();
    let figures = place.ok("bench crypto --sizes 1024 --rounds 1 --round 20ms --json");
    let has = |cipher| figures.contains(&format!("1 KiB beside {cipher} of aws-lc-rs throughput"));
    assert!(has("AES-256-GCM") && has("ChaCha20-Poly1305"), "{figures}");
}

#[test]
fn what_cannot_be_measured_is_refused_with_what_to_do() {
    let place = Place::new();
    let refused = place.fails("bench multicast --members 1 --json", 2);
    assert!(refused.contains("choose 2 to 32"), "{refused}");
}

#[test]
fn a_report_is_written_as_a_page_with_every_round_beside_it() {
    let place = Place::new();
    let run = "bench crypto --sizes 64,1024 --rounds 2 --round 10ms --report results/crypto";
    place.ok(run);
    let read = |name| {
        fs::read_to_string(place.path().join("results/crypto").join(name)).expect("a file of the report")
    };
    let page = read("index.html");
    assert!(page.contains("<h1>quorate bench crypto</h1>") && page.contains("<svg "), "{page}");
    assert_eq!(lines_of_figures(&read("records.jsonl")).len(), 4);
    assert_eq!(read("rounds.jsonl").lines().count(), 4 * 2 * 2);
    place.ok(&format!("{run} --runs 2"));
    assert_eq!(lines_of_figures(&read("records.jsonl")).len(), 4);
    assert_eq!(read("rounds.jsonl").lines().count(), 2 * 4 * 2 * 2, "those of both runs");
    assert!(read("rounds.jsonl").lines().any(|line| line.contains("\"run\":2")));

    place.write("results/index.html", "mine");
    let refused = place.fails("bench crypto --report results", 2);
    assert_eq!(
        refused,
        "quorate: results/index.html is not of a report: choose another folder, or move it away"
    );
    let refused = place.fails("bench --report results/index.html/below crypto", 1);
    assert!(refused.starts_with("quorate: cannot create results/index.html/below: "), "{refused}");
}

#[test]
fn view_changes_are_measured_with_members_that_are_killed_and_that_leave() {
    let place = Place::new();
    let figures = place.ok("bench views --rounds 1 --json");
    let cases = lines_of_figures(&figures);
    assert_eq!(cases.len(), 8, "{figures}");
    for (going, cases) in ["one is killed", "one leaves"].iter().zip(cases.chunks(4)) {
        for case in cases {
            assert!(
                case["case"].as_str().expect("a name").starts_with(&format!("3 members, {going}: ")),
                "{case}"
            );
            assert!(case["value"].as_f64() > Some(0.0) && case["baseline"] == 500_000.0, "{case}");
            assert_eq!(case["cpu_seconds"].is_number(), cfg!(target_os = "linux"), "{case}");
        }
    }
    // Nobody can know of a death that it was one before the time that nodes wait for.
    assert!(cases[0]["value"].as_f64() > cases[4]["value"].as_f64(), "{figures}");
    assert_eq!(
        place.fails("bench views --members 2", 2),
        "quorate: measure 3 to 9 members: of fewer no majority goes on"
    );
}

/// Where this is set, hosts must be possible.
#[cfg(target_os = "linux")]
const REQUIRED: &str = "QUORATE_TEST_HOSTS";

#[cfg(target_os = "linux")]
#[test]
fn links_between_hosts_are_measured_beside_bare_udp_and_groups_beside_one_stream() {
    let place = Place::new();
    let ended = place.run(
        "bench network --transports quic --megabits 100 --round-trips 20ms --lost 0,5 --groups 8 --rounds 1 \
         --round 2s --json",
    );
    if ended.code == 1 && ended.err.contains("root") && std::env::var_os(REQUIRED).is_none() {
        eprintln!("skipped: {}", ended.err);
        return;
    }
    assert_eq!(ended.code, 0, "{ended:?}");
    let cases = lines_of_figures(&ended.out);
    for lost in [0, 5] {
        let figure = |what: &str| {
            let name = format!("quic, 20ms round trip, {lost} % lost{what}");
            let case = cases.iter().find(|case| case["case"] == name.as_str());
            let case = case.unwrap_or_else(|| panic!("no {name}: {cases:?}"));
            [&case["value"], &case["baseline"]].map(|figure| figure.as_f64().expect("a number"))
        };
        for bytes in figure(" throughput") {
            // Without the link between them, hosts on one machine have a hundred times as much.
            assert!(bytes > 0.0 && bytes < 25e6, "the link has no more than 12.5 MB/s: {bytes}");
        }
        for microseconds in figure(", 8 groups p50") {
            assert!(microseconds >= 10_000.0, "the way takes that long: {microseconds}");
        }
        let [late, _] = figure(", 8 groups p99");
        assert!(late >= 10_000.0);
        let [ours, one_stream] = figure(", 8 groups held up by another group");
        assert!(ours <= 100.0 && one_stream <= 100.0);
        if lost > 0 {
            // Each packet that is lost holds up what all groups send within a round trip after it.
            assert!(one_stream > 0.0, "on one stream all wait for what is lost");
            assert!(ours < one_stream, "on streams of their own they do not: {ours} and {one_stream}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_system_on_which_no_hosts_can_be_made_is_told_what_it_lacks() {
    let place = Place::new();
    let ended = place.command("bench network").env("PATH", place.path()).output().expect("it starts");
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "quorate: hosts are made with the command `ip`: install iproute2\n"
    );
    assert_eq!(
        place.fails("bench network --transports memory", 2),
        "quorate: memory reaches no other host: choose quic or tcp"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn groups_are_measured_beside_corosync_where_it_is_installed() {
    let place = Place::new();
    let ended = place.run("bench corosync --mtus 9000 --sizes 1024,65536 --rounds 1 --round 100ms --json");
    let lacks = ["install corosync", "install gcc", "install libcpg-dev", "need root", "install iproute2"];
    if ended.code == 1 && lacks.iter().any(|what| ended.err.contains(what)) {
        assert!(std::env::var_os(REQUIRED_COROSYNC).is_none(), "{ended:?}");
        assert_eq!((ended.out.as_str(), ended.err.lines().count()), ("", 1), "{ended:?}");
        eprintln!("skipped: {}", ended.err);
        return;
    }
    assert_eq!(ended.code, 0, "{ended:?}");
    let case = |what: &str| format!("MTU 9000, uniform, {what}");
    let bare = |what: &str| format!("MTU 9000, bare quinn, {what}");
    assert_eq!(
        cases(&ended.out, "nothing"),
        [
            case("one sending, 1 KiB throughput"),
            bare("one sending, 1 KiB throughput"),
            case("one sending, 64 KiB throughput"),
            bare("one sending, 64 KiB throughput"),
            case("all sending, 1 KiB throughput"),
            case("all sending, 64 KiB throughput"),
            case("all sending beside one, 64 KiB throughput"),
            case("64 B latency p50"),
            case("64 B latency p99"),
        ]
    );
}

/// Where this is set, Corosync must be there.
#[cfg(target_os = "linux")]
const REQUIRED_COROSYNC: &str = "QUORATE_TEST_COROSYNC";

#[cfg(target_os = "linux")]
#[test]
fn a_system_without_corosync_is_told_what_to_install() {
    let place = Place::new();
    let ended = place.command("bench corosync").env("PATH", place.path()).output().expect("it starts");
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "quorate: Corosync is measured beside ours: install corosync and libcpg-dev\n"
    );
    let refused = place.fails("bench corosync --mtus 1000", 2);
    assert_eq!(refused, "quorate: QUIC needs packets of 1280 bytes, not 1000");
}

#[test]
fn what_serves_others_neither_lists_nor_takes_what_is_of_figures() {
    let place = Place::new();
    let (serve, multicast) = (place.ok("bench serve --help"), place.ok("bench multicast --help"));
    for option in ["--report", "--runs", "--json", "--check"] {
        assert!(multicast.contains(option), "{multicast}");
        assert!(!serve.contains(option), "{serve}");
        let value = if matches!(option, "--report" | "--runs") { " 3" } else { "" };
        let rest = "serve --listen 127.0.0.1:0 --credentials certs/n1";
        for line in [format!("bench {rest} {option}{value}"), format!("bench {option}{value} {rest}")] {
            assert_eq!(
                place.fails(&line, 2),
                "quorate: what serves others has no figures: give --report, --runs, --json and --check where it is \
                 measured"
            );
        }
    }
    assert!(!place.path().join("3").exists(), "no folder for a report is made");
}

#[test]
fn a_round_says_its_own_default_only() {
    let place = Place::new();
    for (bench, round) in [
        ("transport", "500ms"),
        ("multicast", "500ms"),
        ("bus", "500ms"),
        ("crypto", "500ms"),
        ("control", "5s"),
        ("large", "2s"),
        #[cfg(target_os = "linux")]
        ("network", "3s"),
        #[cfg(target_os = "linux")]
        ("corosync", "1s"),
    ] {
        let help = place.ok(&format!("bench {bench} --help"));
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = format!("How long a round lasts, such as 100ms or 2s [default: {round}]");
        assert!(words.contains(&said), "{bench}: {help}");
    }
}

#[test]
fn figures_that_are_not_as_wanted_fail_a_check_and_are_named() {
    let place = Place::new();
    let run = "bench transport --transports quic --sizes 64 --rounds 1 --round 10ms --json";
    assert_eq!(place.run(run).code, 0, "nothing is asked without --check");
    let ended = place.run(&format!("{run} --check"));
    let figures = lines_of_figures(&ended.out);
    let missed: Vec<_> = figures.iter().filter(|figure| figure["holds"] == false).collect();
    assert_eq!(ended.code, i32::from(!missed.is_empty()), "{ended:?}");
    assert_eq!(ended.err.lines().count(), usize::from(!missed.is_empty()), "{ended:?}");
    for figure in missed {
        assert!(ended.err.contains(figure["case"].as_str().expect("a name")), "{figure}: {ended:?}");
    }
}
