//! What opening a transport does to the allocator. Alone in its process, since nothing undoes it.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::{fs, hint::black_box};

use quorate_membership::{Incarnation, NodeId};
use quorate_transport::{ClusterCa, ConnectionConfig, Hello, QuicTransport, Validity};

/// How often this thread has been given a page by the system so far.
fn page_faults() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").expect("Linux has it");
    let mut behind_name = stat.rsplit_once(')').expect("it is in brackets").1.split_whitespace();
    behind_name.nth(7).and_then(|number| number.parse().ok()).expect("the tenth is a number")
}

/// Pieces as they come over a link, all held at once and given back.
fn use_heap() {
    let pieces: Vec<_> = (0..30).map(|_| black_box(vec![7_u8; 100_000])).collect();
    assert_eq!(pieces.len(), 30);
}

#[tokio::test]
async fn memory_that_was_given_back_is_not_fetched_from_the_system_again_once_a_transport_is_open() {
    let ca = ClusterCa::create("heap", Validity::days(1)).expect("a good name");
    let credentials = ca.issue_node(NodeId::new(1), Validity::days(1)).expect("it makes sense");
    let hello = Hello {
        versions: (1, 1),
        features: 0,
        cluster: ca.cluster().to_string(),
        incarnation: Incarnation::new(1),
        listens: Some(([127, 0, 0, 1], 0).into()),
    };
    let _transport = QuicTransport::bind(credentials, hello, ConnectionConfig::default()).expect("any port");
    use_heap();
    let before = page_faults();
    (0..20).for_each(|_| use_heap());
    let (faults, pages) = (page_faults() - before, 20 * 30 * 100_000 / 4096);
    assert!(faults < pages / 10, "{faults} of {pages}");
}
