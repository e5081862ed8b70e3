//! A batch from its submission until all three members have delivered it and know that all have it.

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use quorate_protocols::{Batch, Order};

use crate::world::World;

const MEMBERS: u64 = 3;

/// What is sent at a time: how many messages of how many bytes by how many members.
const LOADS: [(&str, usize, usize, u64); 3] =
    [("1 x 64 B", 1, 64, 1), ("1024 x 64 B", 1024, 64, 1), ("1024 x 64 B by each", 1024, 64, MEMBERS)];

pub(crate) fn orders(criterion: &mut Criterion) {
    for (name, messages, bytes, senders) in LOADS {
        let mut group = criterion.benchmark_group(name);
        let batch = Batch::from(vec![Bytes::from(vec![0x5a; bytes]); messages]);
        let sent = messages as u64 * senders;
        group.throughput(Throughput::Elements(sent));
        for order in Order::ALL {
            let mut world = World::founded(MEMBERS, order);
            group.bench_function(BenchmarkId::from_parameter(order), |bencher| {
                bencher.iter(|| {
                    let delivered = world.multicast(senders, &batch);
                    assert_eq!(delivered as u64, sent * MEMBERS);
                });
            });
        }
        group.finish();
    }
}
