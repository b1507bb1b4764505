//! Shared by the benches: a body is measured by criterion, or runs exactly as often as the caller requests.

use std::env;

use criterion::{BenchmarkId, Criterion, Throughput};

/// Receives the bodies to measure.
pub trait Bench {
    /// Measures `body` as `group/name`; it processes `bytes` bytes.
    fn bench(&mut self, group: &str, name: &str, bytes: usize, body: &mut dyn FnMut());
}

impl Bench for Criterion {
    fn bench(&mut self, group: &str, name: &str, bytes: usize, body: &mut dyn FnMut()) {
        let mut group = self.benchmark_group(group);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(&mut *body));
        group.finish();
    }
}

/// Runs one body a number of times: the instructions per iteration are the difference between two such runs.
struct Counted {
    name: String,
    iterations: u64,
    found: bool,
}

impl Bench for Counted {
    fn bench(&mut self, group: &str, name: &str, _: usize, body: &mut dyn FnMut()) {
        if self.name == format!("{group}/{name}") {
            self.found = true;
            (0..self.iterations).for_each(|_| body());
        }
    }
}

/// The `main` of a bench: criterion, unless `BUILDLIB_ITERATIONS` is set. Then the body that the last argument names runs
/// that often.
///
/// # Panics
/// If the variable is not a number, or no body has that name.
pub fn main(benches: fn(&mut dyn Bench)) {
    let Ok(iterations) = env::var("BUILDLIB_ITERATIONS") else {
        let mut criterion = Criterion::default().configure_from_args();
        benches(&mut criterion);
        return criterion.final_summary();
    };
    let iterations = iterations.parse().expect("BUILDLIB_ITERATIONS is a number");
    let mut counted = Counted { name: env::args().next_back().unwrap_or_default(), iterations, found: false };
    benches(&mut counted);
    assert!(counted.found, "unknown bench {}", counted.name);
}
