//! The main job: a log is published into a subject that is bound to a uniform group while one of
//! three node processes is killed, and every survivor's subscribers read the same sequence.

mod support;

use std::{
    fs,
    io::Read as _,
    process::{Child, Stdio},
};

use support::{Place, signal};

const LINES: usize = 100_000;

/// A server's log: one request a line, no two of them alike. Among them what logs have, too: lines that are
/// empty, that were written before, or are no text.
fn log() -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0..LINES {
        match number % 1000 {
            7 => text.push(b'\n'),
            8 | 9 => text.extend(b"last message repeated\n"),
            10 => text.extend(b"sent \xff\xfe\x00 in\r a name\n"),
            _ => text.extend(request(number)),
        }
    }
    text
}

fn request(number: usize) -> Vec<u8> {
    let (second, user) = (number / 40, number * 7919 % 1000);
    let path = ["/", "/login", "/orders", "/orders/open", "/static/style.css"][number * 31 % 5];
    let (status, bytes) = (if number.is_multiple_of(97) { 404 } else { 200 }, number * 613 % 20_000);
    format!("{second:05} request={number} user=u{user} GET {path} {status} {bytes}\n").into_bytes()
}

fn subscribe(place: &Place, addr: &str) -> Child {
    let mut command = place.command(&format!("sub log.app --count {LINES} --connect {addr}"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It says so on standard error once its node knows of it.
    let mut said = Vec::new();
    let mut byte = [0];
    while child.stderr.as_mut().unwrap().read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        said.push(byte[0]);
    }
    assert_eq!(String::from_utf8_lossy(&said), "subscribed to `log.app`");
    child
}

#[test]
fn every_line_arrives_once_in_one_sequence_though_a_node_is_killed_half_way() {
    let place = Place::new();
    let up = place.start("up --port 0 --processes");
    let lines = up.wait_for("ready in ");
    let column = |node: &str, index: usize| -> String {
        let line = lines.iter().find(|line| line.starts_with(node)).expect("the node is listed");
        line.split_whitespace().nth(index).expect("its address and process are listed").to_owned()
    };
    let [first, second, third] = ["n1", "n2", "n3"].map(|node| column(node, 1));
    let victim: u32 = column("n3", 3).parse().unwrap();
    let text = log();
    fs::write(place.path().join("app.log"), &text).unwrap();

    let readers = [&first, &second].map(|addr| subscribe(&place, addr));
    let mut watch = place
        .command(&format!("sub log.app --count {} --connect {first}", LINES / 2))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The publisher talks to the very node that is killed, and has to go on at another one.
    let publisher = place
        .command(&format!("pub log.app --connect {third} --connect {second}"))
        .stdin(fs::File::open(place.path().join("app.log")).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(watch.wait().unwrap().success(), "half of the lines have come");
    signal(victim, "KILL");

    let published = publisher.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&published.stderr).into_owned();
    assert!(published.status.success(), "{said}");
    assert!(said.contains(&format!("{LINES} of {LINES} messages acknowledged")), "{said}");
    for reader in readers {
        let read = reader.wait_with_output().unwrap();
        assert!(read.status.success());
        assert!(read.stdout == text, "a survivor's sequence differs from the file");
    }
}
