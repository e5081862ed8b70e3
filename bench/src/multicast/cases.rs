//! What is compared with what.

use quorate::protocols::Order;

use super::Senders;
use crate::{
    Bound,
    measure::{Case, Reading},
    raw::RAW_QUINN,
    results::Size,
};

const ONE_SENDING: &str = "the same group with one member sending";

/// Whether something is wanted of such a group: what was asked for is three members in the strongest order.
const fn is_asked_for(members: usize, order: Order) -> bool {
    members == 3 && matches!(order, Order::Uniform)
}

pub(super) const fn is_total(order: Order) -> bool {
    matches!(order, Order::Total | Order::Uniform)
}

pub(crate) fn throughput_case(members: usize, order: Order, senders: Senders, bytes: usize) -> Case {
    let wanted = match bytes {
        _ if !is_asked_for(members, order) || senders != Senders::One => None,
        bytes if bytes >= 64 << 10 => Some(Bound::AtLeast(0.8)),
        bytes if bytes >= 1 << 10 => Some(Bound::AtLeast(0.5)),
        _ => Some(Bound::AtLeast(0.2)),
    };
    Case {
        bench: "multicast",
        name: format!("{members} members, {order}, {senders} sending, {}", Size(bytes)),
        baseline_is: RAW_QUINN,
        readings: vec![(Reading::throughput_of(bytes), wanted)],
    }
}

/// That a group carries no less when all its members send.
pub(super) fn together_case(members: usize, order: Order, bytes: usize) -> Case {
    let wanted = is_asked_for(members, order).then_some(Bound::AtLeast(1.0));
    Case {
        bench: "multicast",
        name: format!("{members} members, {order}, all sending beside one, {}", Size(bytes)),
        baseline_is: ONE_SENDING,
        readings: vec![(Reading::throughput_of(bytes), wanted)],
    }
}

/// When a message follows the one before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Following {
    /// After a while in which nobody has anything to do.
    AtAPace,
    /// As soon as the one before is where it was to go.
    AtOnce,
}

impl Following {
    pub(super) const ALL: [Self; 2] = [Self::AtAPace, Self::AtOnce];

    const fn words(self) -> &'static str {
        match self {
            Self::AtAPace => "latency",
            Self::AtOnce => "latency, one after the other,",
        }
    }
}

pub(crate) fn latency_case(members: usize, order: Order, bytes: usize, following: Following) -> Case {
    // Asked for is the latency at low load.
    let judged = is_asked_for(members, order) && following == Following::AtAPace;
    Case {
        bench: "multicast",
        name: format!("{members} members, {order}, {} {}", Size(bytes), following.words()),
        baseline_is: RAW_QUINN,
        readings: vec![
            (Reading::Quantile(0.5), judged.then_some(Bound::AtMost(3.0))),
            (Reading::Quantile(0.99), None),
        ],
    }
}

/// That bare quinn exchanges as many messages as a group in a total order has to.
pub(super) fn exchange_case(
    members: usize,
    order: Order,
    bytes: usize,
    following: Following,
) -> Option<Case> {
    is_total(order).then(|| Case {
        bench: "multicast",
        name: format!(
            "{members} members, bare quinn exchanging as in {order} order, {} {}",
            Size(bytes),
            following.words()
        ),
        baseline_is: RAW_QUINN,
        readings: vec![(Reading::Quantile(0.5), None), (Reading::Quantile(0.99), None)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_is_wanted_of_three_members_in_uniform_order_of_whom_one_sends() {
        let wanted =
            |members, order, senders, bytes| throughput_case(members, order, senders, bytes).readings[0].1;
        let asked = |bytes| wanted(3, Order::Uniform, Senders::One, bytes);
        assert_eq!(asked(64 << 10), Some(Bound::AtLeast(0.8)));
        assert_eq!(asked(1 << 10), Some(Bound::AtLeast(0.5)));
        assert_eq!(asked(64), Some(Bound::AtLeast(0.2)));
        assert_eq!(wanted(5, Order::Uniform, Senders::One, 64), None);
        assert_eq!(wanted(3, Order::Total, Senders::One, 64), None);
        assert_eq!(wanted(3, Order::Uniform, Senders::All, 64), None);
    }

    #[test]
    fn all_together_are_to_carry_as_much_as_one() {
        let wanted = |members, order| together_case(members, order, 1 << 10).readings[0];
        let asked = (Reading::Messages, Some(Bound::AtLeast(1.0)));
        assert_eq!(wanted(3, Order::Uniform), asked);
        assert_eq!(wanted(5, Order::Uniform).1, None);
        assert_eq!(wanted(3, Order::Fifo).1, None);
        assert_eq!(together_case(3, Order::Uniform, 64 << 10).readings[0].0, Reading::Bytes);
    }

    #[test]
    fn the_median_latency_at_low_load_is_wanted_and_nothing_of_messages_one_after_the_other() {
        let wanted = |members, order, following| {
            let readings = latency_case(members, order, 64, following).readings;
            readings.iter().map(|(_, wanted)| *wanted).collect::<Vec<_>>()
        };
        assert_eq!(wanted(3, Order::Uniform, Following::AtAPace), [Some(Bound::AtMost(3.0)), None]);
        assert_eq!(wanted(3, Order::Uniform, Following::AtOnce), [None, None]);
        assert_eq!(wanted(5, Order::Uniform, Following::AtAPace), [None, None]);
        assert_eq!(wanted(3, Order::Fifo, Following::AtAPace), [None, None]);
    }

    #[test]
    fn bare_quinn_exchanges_as_many_messages_beside_the_orders_that_need_them() {
        let name = |order| exchange_case(3, order, 64, Following::AtOnce).map(|case| case.name);
        assert_eq!(name(Order::Fifo), None);
        let expected =
            "3 members, bare quinn exchanging as in total order, 64 B latency, one after the other,";
        assert_eq!(name(Order::Total).as_deref(), Some(expected));
    }
}
