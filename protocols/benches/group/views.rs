//! A view change, from the word that a member is gone until all others are in the view without it. What members
//! wait for passes at once.

use criterion::{BatchSize, BenchmarkId, Criterion};
use quorate_protocols::Order;

use crate::world::World;

pub(crate) fn views(criterion: &mut Criterion) {
    measure(criterion, "lost", World::lose_one);
    measure(criterion, "leaves", World::leave_one);
}

fn measure(criterion: &mut Criterion, what: &str, change: fn(&mut World)) {
    let mut group = criterion.benchmark_group("view change");
    for members in [3, 5] {
        group.bench_function(BenchmarkId::new(what, members), |bencher| {
            let founded = || World::founded(members, Order::Uniform);
            bencher.iter_batched_ref(founded, change, BatchSize::SmallInput);
        });
    }
    group.finish();
}
