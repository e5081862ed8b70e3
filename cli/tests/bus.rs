//! `quorate pub`, `sub`, `request` and `reply`, as scripts use them.

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use support::Place;

/// A command beside the test that says on standard error when it is ready.
struct Ready(Child);

impl Ready {
    /// Starts it and waits for the line by which it says that it is known to its node.
    fn start(place: &Place, args: &[&str], says: &str) -> Self {
        let mut child = place
            .command("")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command can be started");
        // Byte by byte: what follows the line is left for whoever reads on.
        let stderr = child.stderr.as_mut().expect("standard error is a pipe");
        let mut said = Vec::new();
        let mut byte = [0];
        while stderr.read(&mut byte).expect("it can be read") == 1 && byte[0] != b'\n' {
            said.push(byte[0]);
        }
        assert_eq!(String::from_utf8_lossy(&said), says);
        Self(child)
    }

    /// Its exit code and what it has printed, once it has ended by itself.
    fn ends(mut self) -> (i32, String) {
        let mut text = String::new();
        let mut stdout = self.0.stdout.take().expect("standard output is a pipe");
        stdout.read_to_string(&mut text).expect("it prints text");
        (self.0.wait().expect("it ends").code().expect("it was not killed"), text)
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // Usually it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn publish_lines(place: &Place, subject: &str, lines: &str) {
    let mut child = place
        .command(&format!("pub {subject} --json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the summary is JSON");
    assert_eq!(summary["messages"], summary["acknowledged"]);
    assert_eq!(summary["messages"], lines.lines().count());
}

#[test]
fn what_is_published_is_printed_by_subscribers_until_they_have_their_count() {
    let place = Place::new();
    let _up = place.up("--nodes 1");
    for subject in ["log.app", "news.today"] {
        let reader = Ready::start(
            &place,
            &["sub", subject, "--count", "3", "--json"],
            &format!("subscribed to `{subject}`"),
        );
        let ended = place.run(&format!("pub {subject} hello"));
        assert_eq!((ended.code, ended.out.as_str()), (0, ""));
        assert!(ended.err.starts_with("1 of 1 messages acknowledged in "), "{ended:?}");
        publish_lines(&place, subject, "first\nlast\n");
        let (code, text) = reader.ends();
        assert_eq!(code, 0);
        let read: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
        let payloads: Vec<_> = read.iter().map(|message| message["payload"].as_str().unwrap()).collect();
        assert_eq!(payloads, ["hello", "first", "last"]);
        assert!(read.iter().all(|message| message["subject"] == subject));
        // Only a group gives messages a place.
        assert!(read.iter().all(|message| message["position"].is_string() == (subject == "log.app")));
    }
}

#[test]
fn a_queue_group_shares_the_messages_and_each_goes_to_one() {
    let place = Place::new();
    let _up = place.up("--nodes 1");
    let args = ["sub", "jobs", "--queue", "workers", "--idle", "2s"];
    let workers = [(); 2].map(|()| Ready::start(&place, &args, "subscribed to `jobs`"));
    let lines = (0..40).map(|job| format!("job {job}")).collect::<Vec<_>>().join("\n");
    publish_lines(&place, "jobs", &lines);
    let shares = workers.map(|worker| {
        let (code, text) = worker.ends();
        assert_eq!(code, 0, "an idle end without a count is a success");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    assert!(shares.iter().all(|share| !share.is_empty()), "both work: {shares:?}");
    let mut all = shares.concat();
    all.sort();
    let mut wanted: Vec<_> = lines.lines().map(str::to_owned).collect();
    wanted.sort();
    assert_eq!(all, wanted);
}

#[test]
fn a_command_answers_requests_and_without_one_nobody_does_at_once() {
    let place = Place::new();
    let _up = place.up("--nodes 1");
    let asked = Instant::now();
    assert_eq!(
        place.fails("request upper hello --timeout 20s", 3),
        "quorate: nobody answers on `upper`: start somebody, for example `quorate reply upper --exec cat`"
    );
    assert!(asked.elapsed() < Duration::from_secs(15), "it does not wait for its time-out");

    let replier = Ready::start(
        &place,
        &["reply", "upper", "--exec", "tr a-z A-Z", "--count", "2"],
        "answering on `upper`",
    );
    assert_eq!(place.ok("request upper hello"), "HELLO\n");
    let answer: serde_json::Value =
        serde_json::from_str(&place.ok("request upper again --json")).expect("the answer is JSON");
    assert_eq!(answer["payload"], "AGAIN");
    assert_eq!(replier.ends().0, 0);
}

#[test]
fn a_command_that_fails_gives_no_answer_and_the_requester_times_out() {
    let place = Place::new();
    let _up = place.up("--nodes 1");
    let _replier = Ready::start(&place, &["reply", "broken", "--exec", "exit 7"], "answering on `broken`");
    assert_eq!(
        place.fails("request broken hello --timeout 1s", 3),
        "quorate: an answer did not come within 1 s: look at `quorate status`, or wait longer with --timeout"
    );
}

#[test]
fn a_subscriber_ends_quietly_when_nobody_reads_it_any_more() {
    let place = Place::new();
    let _up = place.up("--nodes 1");
    let mut reader = Ready::start(&place, &["sub", "log.app"], "subscribed to `log.app`");
    let mut output = BufReader::new(reader.0.stdout.take().unwrap());
    publish_lines(&place, "log.app", "first\n");
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    drop(output);
    // It finds out with the next that it prints, as any command in a pipe.
    publish_lines(&place, "log.app", "second\n");
    assert_eq!(reader.0.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    reader.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "nothing is wrong");
}

#[test]
fn a_count_that_is_not_reached_is_told_by_the_exit_code() {
    let place = Place::new();
    let _up = place.up("--nodes 1");
    let ended = place.run("sub log.none --count 1 --idle 200ms");
    assert_eq!(ended.code, 3);
    let told = "message 1 of 1 did not come within 200 ms: is anybody publishing? wait longer with --idle\n";
    assert!(ended.err.ends_with(told), "{ended:?}");
}

#[test]
fn without_a_cluster_every_command_says_how_to_start_one() {
    let place = Place::new();
    for args in ["pub a b", "sub a", "request a b", "reply a --exec cat", "status", "why log", "group ls"] {
        assert_eq!(
            place.fails(args, 1),
            "quorate: no cluster is known here: start one with `quorate up`, or name a profile with --profile"
        );
    }
    assert_eq!(
        place.fails("status --connect 127.0.0.1:4610", 1),
        "quorate: --connect says where, but no profile says with which certificate: name its folder with \
         --credentials (`quorate cert issue --client NAME` makes one), or a profile with --profile"
    );
}

#[test]
fn a_cluster_that_does_not_run_is_said_to_be_out_of_reach() {
    let place = Place::new();
    place.ok("cert init --cluster prod");
    place.ok("cert issue --client reports");
    // Nobody else gets this port while the socket lives, and it answers nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap();
    let line =
        place.fails(&format!("status --connect {addr} --credentials certs/reports --timeout 500ms"), 1);
    assert!(line.starts_with(&format!("quorate: no node answers at {addr} within 500 ms")), "{line}");
    assert!(line.ends_with("and are the credentials of the same cluster?"), "{line}");
}
