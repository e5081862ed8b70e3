//! What is drawn while work is long: on a terminal, and nowhere else.

#![cfg(target_os = "linux")]

mod support;

use std::{
    fs::File,
    io::Read,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use support::{PATIENCE, Place, terminal};

/// The screen side of a terminal.
struct Screen(Receiver<Vec<u8>>);

impl Screen {
    /// Makes a terminal, and the end of it that a command writes to.
    fn new() -> (Self, Stdio) {
        let (mut screen, terminal) = terminal::pair();
        let (tell, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It fails when nobody has the other end any more.
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                if tell.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        (Self(shown), terminal)
    }

    /// Waits until a text has been shown.
    fn wait_for(&self, text: &str) {
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains(text) {
            let more = self.0.recv_timeout(PATIENCE);
            let so_far = String::from_utf8_lossy(&shown).into_owned();
            shown.extend(more.unwrap_or_else(|_| panic!("`{text}` is not shown in {so_far:?}")));
        }
    }
}

/// A command that is ended with the test.
struct Shown(Child);

impl Shown {
    fn succeeds(&mut self) {
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // Usually it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command with standard error at a terminal, and waits until it shows a text.
fn shows(command: &mut Command, text: &str) -> Shown {
    let (screen, terminal) = Screen::new();
    let child = command.stdout(Stdio::null()).stderr(terminal).spawn().expect("the command can be started");
    // The command keeps its end of the terminal, and must not keep it open for ever.
    command.stderr(Stdio::null());
    let shown = Shown(child);
    screen.wait_for(text);
    shown
}

/// The processes that a process has started.
fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let started = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    started
        .flat_map(|all| all.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Lines enough that their acknowledgements take a moment.
fn lines() -> String {
    "a line like the others\n".repeat(2_000)
}

#[test]
fn a_cluster_that_starts_and_a_file_that_is_published_show_how_far_they_are() {
    let place = Place::new();
    let mut up = shows(&mut place.command("up --port 0 --json"), "of 3 nodes are in the group");
    let profile = place.path().join(".local/state/quorate/profile.toml");
    support::eventually("the cluster is ready", || profile.exists());

    place.write("lines", &lines());
    let file = File::open(place.path().join("lines")).unwrap();
    let mut publish = shows(place.command("pub log.app").stdin(file), "acknowledged");
    publish.succeeds();

    let file = File::open(place.path().join("lines")).unwrap();
    let said = place.command("pub log.app").stdin(file).output().unwrap();
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.starts_with("2000 of 2000 messages acknowledged in "), "nothing is drawn: {said:?}");
    assert_eq!(said.lines().count(), 1, "nothing is drawn: {said:?}");
    support::signal(up.0.id(), "INT");
    up.succeeds();
}

#[test]
fn a_benchmark_shows_which_case_it_measures() {
    let place = Place::new();
    let bench = "bench transport --transports memory --sizes 64 --rounds 1 --round 20ms";
    let mut measuring = shows(&mut place.command(bench), "memory");
    measuring.succeeds();
    let ended = place.run(bench);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "nothing is drawn");
}

#[test]
fn runs_that_are_over_are_shown_where_a_later_one_fails() {
    let place = Place::new();
    let (screen, terminal) = Screen::new();
    let mut command = place.command("bench memory --idle 2s --load 300ms --runs 3 --report r");
    let child = command.stdout(Stdio::piped()).stderr(terminal).spawn().expect("it can be started");
    command.stderr(Stdio::null());
    let mut shown = Shown(child);
    screen.wait_for("run 2 of 3: idle nodes");
    let node = *children(shown.0.id()).first().expect("nodes are processes of their own");
    support::signal(node, "KILL");
    screen.wait_for("quorate: run 2 of 3 failed: ");
    let mut figures = String::new();
    shown.0.stdout.take().expect("a pipe").read_to_string(&mut figures).expect("text");
    assert_eq!(shown.0.wait().expect("it ends").code(), Some(1));
    let head = "medians of 1 of 3 runs, of what is worst the largest figure; ";
    assert!(figures.contains(head) && figures.contains("idle, resident"), "{figures}");
    assert!(place.path().join("r/index.html").exists());
}
