//! The command as a person uses it: what it prints, where, and how it ends.

#![cfg(target_os = "linux")]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
};

/// The command with these words behind it.
fn command(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-sim"));
    command.args(words.split_whitespace());
    command
}

fn run(words: &str) -> Output {
    command(words).output().expect("the command can be started")
}

/// What a command has written.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The one line that begins so.
fn line<'a>(text: &'a str, begin: &str) -> &'a str {
    let mut such = text.lines().filter(|line| line.starts_with(begin));
    let line = such.next().unwrap_or_else(|| panic!("no `{begin}` in {text}"));
    assert_eq!(such.next(), None, "`{begin}` comes twice");
    line
}

#[test]
fn help_says_how_the_command_ends_and_mistakes_are_explained() {
    let help = run("--help");
    let told = text(&help.stdout);
    assert!(help.status.success());
    for part in ["--seeds", "--trace", "130", "nodes", "cluster"] {
        assert!(told.contains(part), "nothing of {part} in {told}");
    }
    for mistake in ["--seeds many", "--trace", "nodes --loss 2", "cluster --loss 101", "cluster --nodes 1"] {
        assert_eq!(run(mistake).status.code(), Some(2), "{mistake}");
    }
}

#[test]
fn a_campaign_that_finds_nothing_says_how_much_happened_and_draws_no_bar_where_nobody_looks() {
    for words in ["--from 1 --seeds 2 --seconds 4", "nodes --from 1 --seeds 2 --seconds 4"] {
        let ran = run(words);
        assert!(ran.status.success(), "{words}");
        assert_eq!(text(&ran.stderr), "", "{words}");
        let told = text(&ran.stdout);
        line(&told, "seeds 1 to 2");
        line(&told, "every promise held");
        assert!(told.contains(" per CPU minute\n"), "{told}");
    }
}

#[test]
fn what_a_failing_seed_prints_reproduces_it_and_its_smallest_schedule_is_smaller() {
    for words in [
        "--breach SealLeaks --nodes 3 --seconds 8 --from 1 --seeds 5",
        "nodes --breach PlainTwice --seconds 4 --from 1 --seeds 5",
    ] {
        let first = run(words);
        assert_eq!(first.status.code(), Some(1), "{words}");
        let told = text(&first.stdout);
        let (_, replay) =
            told.split_once("replay: cargo run --release -p quorate-sim -- ").expect("a replay");
        let replay = replay.lines().next().expect("a line");
        let again = run(replay);
        assert_eq!(again.status.code(), Some(1), "{replay}");
        let retold = text(&again.stdout);
        for begin in ["violation: ", "smallest schedule "] {
            assert_eq!(line(&told, begin), line(&retold, begin), "{replay}");
        }
        let counts: Vec<usize> = line(&told, "smallest schedule ")
            .split([' ', ','])
            .filter_map(|word| word.parse().ok())
            .collect();
        assert!(counts.len() == 2 && counts[0] < counts[1], "{told}");
        assert!(retold.lines().count() > told.lines().count(), "the replay has a trace: {retold}");
    }
}

#[test]
fn a_terminal_shows_how_far_a_campaign_is() {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let screen = openpt(flags).expect("there are terminals");
    grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("it may be used");
    let terminal = ioctl_tiocgptpeer(&screen, flags).expect("it has another end");
    let mut shown = command("--from 1 --seeds 8 --seconds 4");
    let mut child = shown.stdout(Stdio::null()).stderr(terminal).spawn().expect("it can be started");
    drop(shown); // with its end of the terminal
    let (mut drawn, mut buffer) = (Vec::new(), [0; 4096]);
    // Reading fails when nobody has the other end any more.
    while let Ok(read @ 1..) = File::from(screen.try_clone().expect("it is open")).read(&mut buffer) {
        drawn.extend_from_slice(&buffer[..read]);
    }
    assert!(child.wait().expect("it ends").success());
    assert!(text(&drawn).contains(" of 8 seeds"), "{}", text(&drawn));
}

/// A campaign that would go on for long.
struct Long(Child);

impl Long {
    fn start(words: &str) -> Self {
        let mut command = command(words);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started"))
    }

    /// Waits until a line that begins so comes from standard output, or from standard error.
    fn wait_for(pipe: &mut impl BufRead, begin: &str) {
        let found = pipe.lines().map_while(Result::ok).any(|line| line.starts_with(begin));
        assert!(found, "no `{begin}`");
    }

    fn press_ctrl_c(&self) {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, Signal::INT).expect("it runs");
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        // Usually it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ctrl_c_ends_a_campaign_behind_the_runs_at_hand_and_shows_what_was_done() {
    let mut long = Long::start("--seeds 1000000 --seconds 2 --from 1");
    let mut out = BufReader::new(long.0.stdout.take().expect("a pipe"));
    Long::wait_for(&mut out, "seeds 1 to 1000000");
    long.press_ctrl_c();
    let mut told = String::new();
    out.read_to_string(&mut told).expect("text");
    assert_eq!(long.0.wait().expect("it ends").code(), Some(130), "{told}");
    assert!(line(&told, "interrupted behind ").ends_with(" of 1000000 seeds; every promise held so far"));
    assert!(told.contains(" per CPU minute\n"), "{told}");
}

#[test]
fn ctrl_c_once_more_ends_it_at_once() {
    let mut long = Long::start("--seeds 1 --seconds 20000 --from 1");
    let mut out = BufReader::new(long.0.stdout.take().expect("a pipe"));
    let mut err = BufReader::new(long.0.stderr.take().expect("a pipe"));
    Long::wait_for(&mut out, "seeds 1 to 1");
    long.press_ctrl_c();
    Long::wait_for(&mut err, "ends behind the runs at hand");
    long.press_ctrl_c();
    assert_eq!(long.0.wait().expect("it ends").code(), Some(130));
}

#[test]
fn clusters_of_several_sizes_are_shown_beside_each_other_and_one_by_itself_in_full() {
    let several = run("cluster --nodes 5,12 --loss 0");
    assert!(several.status.success());
    let told = text(&several.stdout);
    assert_eq!(told.lines().count(), 4, "{told}");
    for (size, line) in ["5", "12"].iter().zip(told.lines().skip(2)) {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some(*size), "{told}");
        assert!(words.next().and_then(|word| word.parse().ok()) > Some(1.0), "{told}");
    }
    let alone = run("cluster --nodes 12 --loss 0");
    let told = text(&alone.stdout);
    line(&told, "one crashed, all know after");
    line(&told, "digest");
}
