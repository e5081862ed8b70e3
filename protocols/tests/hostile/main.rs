//! Whatever authenticated peers say, a group neither panics nor breaks its promises at home.

mod dice;
mod home;
mod liar;
mod member;
mod presence;

use quorate_membership::{GroupId, Incarnation, Member, NodeId};
use quorate_protocols::{GroupConfig, Order};

pub(crate) fn member(node: u64, life: u64) -> Member {
    Member::new(NodeId::new(node), Incarnation::new(life))
}

pub(crate) fn config(order: Order, partitionable: bool) -> GroupConfig {
    let mut config = GroupConfig::new(GroupId::new(1), (1..=3).map(NodeId::new).collect());
    config.order = order;
    config.partitionable = partitionable;
    config
}
