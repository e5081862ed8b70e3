//! Running the command as a user would.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    path::Path,
    process::{Command, Output, Stdio},
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command
            .args(args.split_whitespace())
            .current_dir(self.path())
            .env("HOME", self.path())
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
