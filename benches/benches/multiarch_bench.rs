//! The kernels on every path that this CPU supports, so that one run shows the speed-up of each path.

use std::hint::black_box;

use arch::{Path, crc32c, text, topic};
use benches::Bench;
use journal_server::log::{Fsync, Log};
use journal_server::record::Entry;

/// The processing of one message in a broker: the topic is checked, the text validated, the checksum computed.
fn message_processing(bench: &mut dyn Bench) {
    let name = "factory/hall-7/line-3/robot-12/arm/joint-4/temperature/celsius";
    let payload = "{\"at\":1767225600,\"value\":36.6,\"unit\":\"C\"}".repeat(24);
    for path in Path::available() {
        let (special, ascii, crc) = (topic::on(path), text::on(path), crc32c::on(path));
        let (Some(special), Some(ascii), Some(crc)) = (special, ascii, crc) else { continue };
        bench.bench("message_processing", &path.to_string(), name.len() + payload.len(), &mut || {
            assert_eq!(topic::specials(black_box(name.as_bytes()), special).count(), 7);
            assert_eq!(ascii(black_box(payload.as_bytes())), payload.len());
            black_box(crc(0, black_box(payload.as_bytes())));
        });
    }
}

fn checksum(bench: &mut dyn Bench) {
    for size in [64, 1024, 65536] {
        let record = vec![0x5A; size];
        for path in Path::available() {
            let Some(update) = crc32c::on(path) else { continue };
            bench.bench("crc32c", &format!("{path}/{size}"), size, &mut || {
                black_box(update(0, black_box(&record)));
            });
        }
    }
}

/// Positions of separators and wildcards in a topic, which every PUBLISH and SUBSCRIBE needs.
fn topic_scan(bench: &mut dyn Bench) {
    for size in [32, 64, 128, 512] {
        let name = "factory/hall-7/line-3/robot-12/".repeat(17);
        let name = &name.as_bytes()[..size];
        for path in Path::available() {
            let Some(scan) = topic::on(path) else { continue };
            bench.bench("topic_scan", &format!("{path}/{size}"), size, &mut || {
                black_box(topic::specials(black_box(name), scan).map(|(at, _)| at).sum::<usize>());
            });
        }
    }
}

fn topic_matching(bench: &mut dyn Bench) {
    let name = "factory/hall-7/line-3/robot-12/arm/joint-4/temperature/celsius";
    let filters = ["factory/+/line-3/#", "factory/hall-7/+/+/arm/+/temperature/+", "office/#", "#"];
    bench.bench("topic_matching", "four filters", name.len(), &mut || {
        black_box(filters.iter().filter(|filter| topic::matches(filter, black_box(name))).count());
    });
}

/// A batch is encoded with its checksums and written. Without fsync, which would measure the disk.
fn journal_append(bench: &mut dyn Bench) {
    let folder = tempfile::tempdir().expect("a folder");
    for size in [128, 1024, 16384] {
        let entry = Entry { key: "factory/hall-7/line-3".to_owned(), value: vec![0x5A; size] };
        let records = 64;
        let mut log = Log::open(folder.path(), 16 << 20, Fsync::Never).expect("a journal");
        bench.bench("journal_append", &size.to_string(), records * size, &mut || {
            for _ in 0..records {
                log.stage(1_767_225_600_000, black_box(&entry));
            }
            log.commit().expect("written");
        });
    }
}

fn main() {
    benches::main(|bench| {
        for measured in [message_processing, checksum, topic_scan, topic_matching, journal_append] {
            measured(bench);
        }
    });
}
