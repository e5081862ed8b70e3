//! What is compared with what.

use quorate::protocols::Order;

use super::{
    CorosyncArgs, MEMBERS,
    words::{Pace, Whose, Work},
};
use crate::{
    Bound, Senders,
    measure::{Case, Reading},
    results::Size,
};

/// Packets from here on are jumbo.
pub(super) const JUMBO: u16 = 8_000;
const LONG_MESSAGES: usize = 64 << 10;

const COROSYNC: &str = "Corosync's closed process groups, agreed order, knet with AES-256 and SHA-256";
const ONE_SENDING: &str = "our group with one member sending";

/// What our group does, beside what.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) case: Case,
    pub(super) work: Work,
    pub(super) beside: (Whose, Work),
    /// That bare quinn does the same in turns with both, and what that is called.
    pub(super) bare: Option<Case>,
}

/// All that is compared on a link of this MTU with a group of this order.
pub(super) fn comparisons(args: &CorosyncArgs, mtu: u16, order: Order) -> Vec<Comparison> {
    let full = |bytes, senders: Senders| Work {
        message_bytes: bytes,
        senders: senders.among(MEMBERS),
        pace: Pace::Full { batches: args.batches },
    };
    // Bare quinn has no orders: it is measured with the first.
    let has_bare = |senders| senders == Senders::One && args.orders.first() == Some(&order);
    let mut all = Vec::new();
    for &senders in &args.senders {
        for &bytes in &args.sizes {
            let work = full(bytes, senders);
            all.push(Comparison {
                case: throughput_case(mtu, order, senders, bytes),
                work,
                beside: (Whose::Corosync, work),
                bare: has_bare(senders).then(|| bare_case(mtu, bytes)),
            });
        }
    }
    // Messages with which Corosync collapses when all send.
    let sends_all = args.senders.contains(&Senders::All);
    for &bytes in args.sizes.iter().filter(|bytes| sends_all && **bytes >= LONG_MESSAGES) {
        all.push(Comparison {
            case: together_case(mtu, order, bytes),
            work: full(bytes, Senders::All),
            beside: (Whose::Ours, full(bytes, Senders::One)),
            bare: None,
        });
    }
    for &bytes in &args.latency_sizes {
        let work = Work { message_bytes: bytes, senders: 1, pace: Pace::Every(args.pace) };
        let case = latency_case(mtu, order, bytes);
        all.push(Comparison { case, work, beside: (Whose::Corosync, work), bare: None });
    }
    all
}

fn throughput_case(mtu: u16, order: Order, senders: Senders, bytes: usize) -> Case {
    let long = bytes >= LONG_MESSAGES;
    let wanted = match (long, mtu >= JUMBO) {
        (false, _) => (bytes <= 1 << 10).then_some(Bound::AtLeast(20.0)),
        (true, false) => Some(Bound::AtLeast(6.0)),
        (true, true) => Some(Bound::AtLeast(3.0)),
    };
    Case {
        bench: "corosync",
        name: format!("MTU {mtu}, {order}, {senders} sending, {}", Size(bytes)),
        baseline_is: COROSYNC,
        readings: vec![(throughput(bytes), wanted)],
    }
}

/// What the link carries of the same with nothing on it.
fn bare_case(mtu: u16, bytes: usize) -> Case {
    Case {
        bench: "corosync",
        name: format!("MTU {mtu}, bare quinn, {} sending, {}", Senders::One, Size(bytes)),
        baseline_is: COROSYNC,
        readings: vec![(throughput(bytes), None)],
    }
}

fn throughput(bytes: usize) -> Reading {
    if bytes >= LONG_MESSAGES { Reading::Bytes } else { Reading::Messages }
}

/// That nothing collapses when all send.
fn together_case(mtu: u16, order: Order, bytes: usize) -> Case {
    Case {
        bench: "corosync",
        name: format!("MTU {mtu}, {order}, all sending beside one, {}", Size(bytes)),
        baseline_is: ONE_SENDING,
        readings: vec![(Reading::Bytes, Some(Bound::AtLeast(0.5)))],
    }
}

fn latency_case(mtu: u16, order: Order, bytes: usize) -> Case {
    Case {
        bench: "corosync",
        name: format!("MTU {mtu}, {order}, {} latency", Size(bytes)),
        baseline_is: COROSYNC,
        readings: vec![(Reading::Quantile(0.5), Some(Bound::AtMost(1.0))), (Reading::Quantile(0.99), None)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_depends_on_the_message_and_on_the_link() {
        let wanted = |mtu, bytes| throughput_case(mtu, Order::Uniform, Senders::One, bytes).readings[0].1;
        assert_eq!(wanted(1500, 64), Some(Bound::AtLeast(20.0)));
        assert_eq!(wanted(1500, 64 << 10), Some(Bound::AtLeast(6.0)));
        assert_eq!(wanted(9000, 64 << 10), Some(Bound::AtLeast(3.0)));
        assert_eq!(wanted(1500, 16 << 10), None);
    }

    #[test]
    fn bare_quinn_is_measured_once_for_each_size_on_each_link_where_one_sends() {
        let usual = CorosyncArgs { orders: vec![Order::Uniform, Order::Fifo], ..CorosyncArgs::new("x") };
        let bare = |args: &CorosyncArgs, order| -> Vec<(String, String)> {
            let all = comparisons(args, 1500, order).into_iter();
            all.filter_map(|each| Some((each.case.name, each.bare?.name))).collect()
        };
        let expected = ["64 B", "1 KiB", "64 KiB"].map(|size| {
            let case = |what| format!("MTU 1500, {what}, one sending, {size}");
            (case("uniform"), case("bare quinn"))
        });
        assert_eq!(bare(&usual, Order::Uniform), expected);
        assert!(bare(&usual, Order::Fifo).is_empty());
        assert!(bare(&CorosyncArgs { senders: vec![Senders::All], ..usual }, Order::Uniform).is_empty());
    }
}
