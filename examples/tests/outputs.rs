//! Every example prints what its header says.

use std::{
    collections::BTreeSet,
    env, fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long an example may take on a busy machine; they take a second.
const PATIENCE: Duration = Duration::from_mins(1);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The examples, by the names of their files.
fn examples() -> BTreeSet<String> {
    let entries = fs::read_dir(folder()).expect("the folder of the examples");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect()
}

fn source(name: &str) -> String {
    fs::read_to_string(folder().join(format!("{name}.rs"))).expect("the source of the example")
}

/// The lines that the header of an example promises.
fn promised(source: &str) -> Vec<&str> {
    source.lines().filter_map(|line| line.strip_prefix("//! Prints: `")?.strip_suffix('`')).collect()
}

/// Where cargo puts what it makes of an example: beside the folder of this test.
fn binary(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("the folder of the profile");
    profile.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// Runs an example and returns what it printed.
fn run(name: &str) -> String {
    let binary = binary(name);
    assert!(binary.exists(), "{name} is not built: run `cargo test -p quorate-examples`");
    let mut child =
        Command::new(binary).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the example starts");
    let mut stdout = child.stdout.take().expect("it is piped");
    let (printed, output) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text).map(|_| text);
        // Nobody waits for it any more once the example was given up.
        let _ = printed.send(read);
    });
    // The output ends when the example does.
    let text = output.recv_timeout(PATIENCE);
    if text.is_err() {
        child.kill().expect("the example can be ended");
    }
    let status = child.wait().expect("the example has ended");
    reader.join().expect("the reader has ended");
    let text = text.expect("the example ends in time").expect("it prints text");
    assert!(status.success(), "{name} ended with {status} after\n{text}");
    text
}

#[test]
fn every_example_prints_what_its_header_says() {
    let names = examples();
    assert!(!names.is_empty());
    for name in names {
        let source = source(&name);
        let expected = promised(&source);
        assert!(!expected.is_empty(), "{name} does not say what it prints");
        assert_eq!(run(&name).lines().collect::<Vec<_>>(), expected, "what {name} prints");
    }
}

#[test]
fn every_example_is_declared_and_short_and_says_how_to_run_it() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("the manifest");
    for name in examples() {
        let source = source(&name);
        assert!(manifest.contains(&format!("path = \"{name}.rs\"")), "{name} is not in Cargo.toml");
        assert!(source.lines().count() <= 60, "{name} is longer than a page");
        let command = format!("//! Run: `cargo run -p quorate-examples --example {name}`");
        assert!(source.contains(&command), "{name} does not say how to run it");
    }
}
