//! The kernels on every path that this CPU can take, so that what a path gains can be read off one run.

use std::hint::black_box;

use arch::{Path, crc32c, text, topic};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// One message as a broker gets it: the topic is checked, the payload is text, the record gets its checksum.
fn message_processing(c: &mut Criterion) {
    let name = "factory/hall-7/line-3/robot-12/arm/joint-4/temperature/celsius";
    let payload = "{\"at\":1767225600,\"value\":36.6,\"unit\":\"C\"}".repeat(24);
    let mut group = c.benchmark_group("message_processing");
    group.throughput(Throughput::Bytes((name.len() + payload.len()) as u64));
    for path in Path::available() {
        let (special, ascii, crc) = (topic::on(path), text::on(path), crc32c::on(path));
        let (Some(special), Some(ascii), Some(crc)) = (special, ascii, crc) else { continue };
        group.bench_function(BenchmarkId::from_parameter(path), |b| {
            b.iter(|| {
                let mut levels = 0;
                let mut rest = black_box(name).as_bytes();
                while let Some((_, after)) = rest.split_at_checked(special(rest) + 1) {
                    (levels, rest) = (levels + 1, after);
                }
                assert_eq!(levels, 7);
                assert_eq!(ascii(black_box(payload.as_bytes())), payload.len());
                crc(0, black_box(payload.as_bytes()))
            });
        });
    }
    group.finish();
}

fn checksum(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc32c");
    for size in [64, 1024, 65536] {
        let record = vec![0x5A; size];
        group.throughput(Throughput::Bytes(size as u64));
        for path in Path::available() {
            let Some(update) = crc32c::on(path) else { continue };
            group.bench_function(BenchmarkId::new(path.to_string(), size), |b| {
                b.iter(|| update(0, black_box(&record)))
            });
        }
    }
    group.finish();
}

fn topic_matching(c: &mut Criterion) {
    let name = "factory/hall-7/line-3/robot-12/arm/joint-4/temperature/celsius";
    let filters = ["factory/+/line-3/#", "factory/hall-7/+/+/arm/+/temperature/+", "office/#", "#"];
    c.bench_function("topic_matching", |b| {
        b.iter(|| filters.iter().filter(|filter| topic::matches(filter, black_box(name))).count());
    });
}

criterion_group!(benches, message_processing, checksum, topic_matching);
criterion_main!(benches);
