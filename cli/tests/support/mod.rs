//! Running the command as a user would.

#![allow(dead_code, reason = "each test file uses its part")]

#[cfg(target_os = "linux")]
pub(crate) mod terminal;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::UdpSocket,
    path::Path,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A folder of its own, and the command run in it. Nothing of the user's is read or written.
pub(crate) struct Place {
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a file can be written");
    }

    /// The command with these arguments, separated by blanks, ready to be started.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = self.prepared(env!("CARGO_BIN_EXE_quorate"));
        command.args(args.split_whitespace());
        command
    }

    /// A program that is to be started in this place, with nothing of the user's.
    pub(crate) fn prepared(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("TMPDIR", self.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("QUORATE_PROFILE")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, args: &str) -> Ended {
        self.command(args).output().expect("the command can be started").into()
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub(crate) fn ok(&self, args: &str) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "quorate {args}: {ended:?}");
        ended.out
    }

    /// Runs a command that must fail with this exit code, and returns its one line.
    pub(crate) fn fails(&self, args: &str, code: i32) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, code, "quorate {args}: {ended:?}");
        let line = ended.err.strip_suffix('\n').expect("an error ends its line").to_owned();
        assert!(!line.contains('\n'), "more than one line: {line}");
        line
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the command prints text");
        Self {
            code: output.status.code().expect("the command was not killed"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// How long anything may take that takes a moment.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A command that runs beside the test, and is ended with it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
    stdin: Option<ChildStdin>,
}

impl Place {
    /// Starts a command whose output is read line by line; its standard error is shown as well.
    pub(crate) fn start(&self, args: &str) -> Running {
        Running::start(self.command(args))
    }

    /// Starts a local cluster at free ports, and waits until it is ready.
    pub(crate) fn up(&self, more: &str) -> Running {
        let up = self.start(&format!("up --port 0 {more}"));
        up.wait_for("ready in ");
        up
    }
}

impl Running {
    /// Starts a prepared command in the same way.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command can be started");
        let lines = lines_of(child.stdout.take().expect("standard output is a pipe"), |_| {});
        let errors = lines_of(child.stderr.take().expect("standard error is a pipe"), |line| {
            eprintln!("{line}");
        });
        let stdin = child.stdin.take();
        Self { child, lines, errors, stdin }
    }
}

/// The lines of a pipe as they come; each is seen even if nobody waits for it.
fn lines_of(pipe: impl Read + Send + 'static, seen: fn(&str)) -> Receiver<String> {
    let (tell, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            seen(&line);
            // A test that has ended reads no more; the command must not be held up by that.
            let _ = tell.send(line);
        }
    });
    lines
}

/// The lines up to the first that contains a text, that one included.
fn wait_for(lines: &Receiver<String>, text: &str) -> Vec<String> {
    let (mut before, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    loop {
        let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let line = line.unwrap_or_else(|_| panic!("no line with `{text}` after {before:#?}"));
        let found = line.contains(text);
        before.push(line);
        if found {
            return before;
        }
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of output.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line comes in time")
    }

    /// The lines up to the first that contains a text, that one included.
    pub(crate) fn wait_for(&self, text: &str) -> Vec<String> {
        wait_for(&self.lines, text)
    }

    /// The line of standard error that contains a text, once it comes.
    pub(crate) fn wait_for_error(&self, text: &str) -> String {
        wait_for(&self.errors, text).pop().expect("it has found the line")
    }

    /// The lines of standard error up to the first that contains a text, that one included.
    pub(crate) fn errors_until(&self, text: &str) -> Vec<String> {
        wait_for(&self.errors, text)
    }

    /// The lines that have come by now.
    pub(crate) fn so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// All lines that are still to come.
    pub(crate) fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    /// Writes to standard input.
    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(text.as_bytes()).expect("the command reads");
    }

    /// Ends standard input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// The exit code, once the command has ended by itself.
    pub(crate) fn code(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status.code().unwrap_or_else(|| panic!("it was killed: {status}"));
            }
            assert!(Instant::now() < deadline, "the command does not end");
            // The standard library cannot wait for a child with a time-out.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Usually it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Addresses of loopback that nobody uses now and no other test of this process was given, below the ports
/// that systems give to clients, who would take them before their nodes do.
pub(crate) fn free_addresses(count: usize) -> Vec<String> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().expect("no test fails while it holds this");
    let chance = std::hash::RandomState::new();
    let drawn = (0_u32..)
        .map(|attempt| 16_384 + (std::hash::BuildHasher::hash_one(&chance, attempt) % 16_384) as u16);
    let new = drawn.filter(|port| given.insert(*port));
    let sockets = new.filter_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok());
    // All are held until the last is found, so no two are the same.
    let sockets: Vec<UdpSocket> = sockets.take(count).collect();
    sockets.iter().map(|socket| socket.local_addr().expect("it is bound").to_string()).collect()
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        // Files and processes tell nobody when they change.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process that the test has started.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(status.expect("`kill` can be run").success(), "process {pid} is there");
}
