//! What members count themselves, beside what was sent.

use super::{
    exported::{BYTES, MESSAGES},
    run::{Received, node_of},
};
use crate::{BenchError, places::Cluster};

/// Messages that a reader of the member's events got.
const READ: &str = "the reader";
/// What the member says of its group.
const DELIVERED: &str = "`delivered_total` of the group's status";

/// A counter of a member.
#[derive(Clone, Copy, Debug)]
struct Counter {
    /// The member, from 0.
    index: usize,
    name: &'static str,
    counted: u64,
}

impl Counter {
    /// What it says, if that is what was sent.
    fn check(self, sent: u64) -> Result<u64, BenchError> {
        let Self { index, name, counted } = self;
        if counted == sent {
            Ok(counted)
        } else {
            Err(BenchError::Disagrees { member: node_of(index), counter: name, counted, sent })
        }
    }
}

/// What the counters of messages say of the first members, which stayed and have delivered the last message: what
/// their readers got, their status and what they export. Refuses what is not as many messages, or bytes, as were sent.
pub(super) async fn compare(
    cluster: &Cluster,
    received: &[Received],
    sent: u64,
    message_bytes: usize,
) -> Result<Vec<u64>, BenchError> {
    let mut all = Vec::new();
    for (index, it) in received.iter().enumerate() {
        let status = cluster.at(index, |group| async move { group.status().await.map_err(BenchError::ours) });
        let delivered = status.await?.delivered_total;
        for (name, counted) in
            [(READ, it.messages), (DELIVERED, delivered), (MESSAGES, it.exported.messages())]
        {
            all.push(Counter { index, name, counted }.check(sent)?);
        }
        Counter { index, name: BYTES, counted: it.exported.bytes() }.check(sent * message_bytes as u64)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_differs_is_named_with_its_member_and_by_how_much() {
        let check = |index, counted| Counter { index, name: DELIVERED, counted }.check(7);
        assert!(matches!(check(0, 7), Ok(7)));
        let said = |counted| check(2, counted).expect_err("it differs").to_string();
        let of = "`delivered_total` of the group's status of n3 counts";
        assert_eq!(said(5), format!("{of} 5 where 7 were sent, which is 2 too few"));
        assert_eq!(said(8), format!("{of} 8 where 7 were sent, which is 1 too many"));
    }
}
