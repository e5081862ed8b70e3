//! Credentials that change while nodes run: revoked certificates, and what is read again on SIGHUP.

mod support;

use std::fs;

use support::{Place, Running};

/// Folders, certificates and configurations of a local cluster that does not run.
fn prepared(nodes: &str) -> Place {
    let place = Place::new();
    let mut up = place.up(&format!("--nodes {nodes} --data cluster"));
    up.signal("INT");
    assert_eq!(up.code(), 0);
    place
}

/// A node of it, and where it serves.
fn start(place: &Place, node: &str) -> (Running, String) {
    let running = place.start(&format!("node --config cluster/{node}.toml"));
    let serving = running.line();
    let addr = serving.rsplit(' ').next().expect("it says where it serves").to_owned();
    (running, addr)
}

fn publish(place: &Place, addr: &str) {
    place.ok(&format!("pub log.app hello --connect {addr} --credentials cluster/certs/client"));
}

#[test]
fn a_node_whose_certificate_is_revoked_is_refused_and_the_others_go_on() {
    let place = prepared("3");
    let [(first, addr), (second, _), (third, _)] = ["n1", "n2", "n3"].map(|node| start(&place, node));
    for node in [&first, &second, &third] {
        node.wait_for(" {n1, n2, n3}: ");
    }
    let text = place.ok("cert revoke --node n3 --ca cluster/certs");
    assert!(text.starts_with("quorate://local/node/3 is revoked, serial number "), "{text}");
    for node in [&first, &second] {
        node.signal("HUP");
        assert!(node.wait_for("credentials read again").last().unwrap().ends_with("1 revoked certificate"));
    }
    for node in [&first, &second] {
        node.wait_for(" {n1, n2}: n3 unreachable");
        node.wait_for_error("closed a link: its certificate was revoked");
    }
    third.wait_for("stands still: no majority of its view is in reach");
    // It tries again, and is not let in.
    third.wait_for_error("it refused this side: this side's certificate was revoked");
    first.wait_for_error("was revoked by the authority of the cluster");
    publish(&place, &addr);

    third.signal("HUP");
    let refused = third.wait_for_error("the present credentials of n3 stay");
    assert!(refused.ends_with("was revoked by its authority: issue a new one"), "{refused}");
    drop(third);
    let refused = place.fails("node --config cluster/n3.toml", 1);
    assert!(refused.ends_with("was revoked by its authority: issue a new one"), "{refused}");

    fs::remove_dir_all(place.path().join("cluster/certs/n3")).unwrap();
    place.ok("cert issue --node n3 --ca cluster/certs");
    let (third, _) = start(&place, "n3");
    third.wait_for("{n1, n2, n3}: n3 joined");
}

#[test]
fn credentials_that_are_wrong_are_refused_and_the_present_ones_stay() {
    let place = prepared("1");
    let (node, addr) = start(&place, "n1");
    node.wait_for("group log is in view v1");
    let list = place.path().join("cluster/certs/n1/ca.crl");
    fs::write(&list, "nothing of the kind").unwrap();
    node.signal("HUP");
    assert!(node.wait_for_error("stay").ends_with(
        "the present credentials of n1 stay: cluster/certs/n1/ca.crl holds no revocation list in PEM form"
    ));
    publish(&place, &addr);
    fs::remove_file(&list).unwrap();

    let folder = place.path().join("cluster/certs/n1");
    fs::rename(&folder, place.path().join("cluster/certs/before")).unwrap();
    place.ok("cert issue --node n2 --ca cluster/certs --out cluster/certs/n1");
    node.signal("HUP");
    assert!(node.wait_for_error("stay").contains("not for quorate://local/node/1"));
    publish(&place, &addr);

    fs::remove_dir_all(&folder).unwrap();
    place.ok("cert issue --node n1 --ca cluster/certs --days 30");
    node.signal("HUP");
    assert_eq!(
        node.wait_for("read again").last().unwrap(),
        "n1: credentials read again: valid for 30 days, 0 revoked certificates"
    );
    publish(&place, &addr);
}

/// Revokes the certificate of the last node of a running cluster.
fn a_local_cluster_puts_out_a_revoked_node(how: &str) {
    let place = Place::new();
    let up = place.up(&format!("--data cluster {how}"));
    place.ok("cert revoke --node n3 --ca cluster/certs");
    up.signal("HUP");
    let mut told = up.wait_for(" {n1, n2}: n3 unreachable");
    for node in ["n1", "n2"] {
        let line = format!("{node}: credentials read again: valid for 365 days, 1 revoked certificate");
        if !told.contains(&line) {
            told.extend(up.wait_for(&line));
        }
    }
    let refused = up.wait_for_error("the present credentials of n3 stay");
    assert!(refused.ends_with("was revoked by its authority: issue a new one"), "{refused}");
    place.ok("pub log.app hello");
}

#[test]
fn a_cluster_in_one_process_takes_a_new_list_of_revoked_certificates() {
    a_local_cluster_puts_out_a_revoked_node("");
}

#[test]
fn a_cluster_of_processes_takes_a_new_list_of_revoked_certificates() {
    a_local_cluster_puts_out_a_revoked_node("--processes");
}
