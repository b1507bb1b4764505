//! What one look at the CPU costs; the services do it once, at their start.

use criterion::{Criterion, criterion_group, criterion_main};

fn detect(c: &mut Criterion) {
    c.bench_function("detect", |b| b.iter(arch::Arch::detect));
}

criterion_group!(benches, detect);
criterion_main!(benches);
