//! Criterion's view of the byte heap: `cargo bench --bench bytes_criterion`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use slab_benches::{Entrant, Pattern};
use slab_testkit::Contender;

const PAIRS: usize = 10_000;

fn patterns(criterion: &mut Criterion) {
    for pattern in [Pattern::HotPair { size: 64 }, Pattern::Batch { size: 64, count: 1000 }] {
        let mut group = criterion.benchmark_group(pattern.title());
        group.throughput(Throughput::Elements(PAIRS as u64));
        for peer in slab_peers::contenders() {
            let mut entrant = Entrant::new(peer, 8 << 20);
            group.bench_function(BenchmarkId::from_parameter(peer.name()), |bencher| {
                bencher.iter(|| black_box(entrant.round(&(pattern, PAIRS))));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, patterns);
criterion_main!(benches);
