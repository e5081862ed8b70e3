//! A bounded campaign over fresh seeds, through the command that a person would run.
//!
//! Ignored by default, since it is another one each time:
//! `cargo test --release -p quorate-sim --test campaign -- --ignored --nocapture`

use std::process::Command;

/// Runs the command with these arguments and shows what it prints: the seeds and, if one fails,
/// its replay command.
fn campaign(args: &str) {
    println!("quorate-sim {args}");
    let status = Command::new(env!("CARGO_BIN_EXE_quorate-sim")).args(args.split(' ')).status();
    assert!(status.expect("the command starts").success(), "quorate-sim {args} found something");
}

#[test]
#[ignore = "takes fresh seeds each time"]
fn five_members_hold_every_promise() {
    campaign("--seeds 60 --jobs 2");
}

#[test]
#[ignore = "takes fresh seeds each time"]
fn whole_nodes_keep_every_promise() {
    campaign("nodes --seeds 20");
}

#[test]
#[ignore = "takes fresh seeds each time"]
fn three_members_hold_every_promise() {
    campaign("--seeds 40 --jobs 2 --nodes 3");
}

#[test]
#[ignore = "takes fresh seeds each time"]
fn sides_of_a_partition_hold_every_promise() {
    campaign("--seeds 40 --jobs 2 --partitionable");
}

#[test]
#[ignore = "takes fresh seeds each time"]
fn two_members_and_a_witness_hold_every_promise() {
    campaign("--seeds 40 --jobs 2 --nodes 2 --witness");
}
