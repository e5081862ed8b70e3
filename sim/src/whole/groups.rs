//! The groups of whole nodes, one of each kind.

use std::time::Duration;

use quorate_membership::{GroupId, NodeId, agreement::Breach};
use quorate_protocols::{GroupConfig, Order, SlowPolicy};
use rand::{SeedableRng, rngs::SmallRng, seq::IndexedRandom};

use super::{CARRIERS, WITNESS};

/// Two in uniform order, with bound subjects; one that demotes or removes whoever lags; one whose sides
/// may go on apart; one with a witness; and one with state that newcomers get. The seed decides the rest.
pub(super) fn configs(seed: u64, breach: Option<Breach>) -> Vec<GroupConfig> {
    let founders: Vec<NodeId> = (1..=CARRIERS).map(NodeId::new).collect();
    let mut chance = SmallRng::seed_from_u64(seed ^ 0x6_2095);
    let mut any = |orders: &[Order]| orders.choose(&mut chance).copied().unwrap_or_default();
    let weak = [Order::Fifo, Order::Causal];
    let mut number = 0;
    let mut config = |order: Order| {
        number += 1;
        let mut config = GroupConfig::new(GroupId::new(number), founders.clone());
        config.order = order;
        if number.is_multiple_of(2) {
            (config.part_bytes, config.relay_bytes) = (64 << (number % 3), Some(1));
        }
        if seed.is_multiple_of(2) && number % 4 == 1 {
            (config.batch_bytes, config.frames_in_flight) = (300, 8);
        }
        config.breach = breach;
        config
    };
    let bound = [config(Order::Uniform), config(Order::Uniform)];
    let strict = GroupConfig {
        slow: [SlowPolicy::Block, SlowPolicy::Demote, SlowPolicy::Evict][(seed % 3) as usize],
        lag_for: Duration::from_millis(700),
        ..config(Order::Total)
    };
    let sided = GroupConfig { partitionable: seed % 2 == 1, ..config(any(&weak)) };
    let watched = config(any(&Order::ALL));
    let watched = GroupConfig {
        founders: watched.founders[1..].to_vec(),
        witnesses: vec![NodeId::new(WITNESS)],
        ..watched
    };
    let stateful = GroupConfig {
        state_transfer: true,
        snapshot_chunk_bytes: 512, // so that even short states take several
        ..config(any(&Order::ALL))
    };
    bound.into_iter().chain([strict, sided, watched, stateful]).collect()
}

/// All that take part in a group, be it as witnesses.
pub(super) fn parties(config: &GroupConfig) -> impl Iterator<Item = NodeId> + '_ {
    config.founders.iter().chain(&config.witnesses).copied()
}
