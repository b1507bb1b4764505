//! The real program: killed and restarted, and its answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::journal::journal_client::JournalClient;
use protocol::journal::{AppendRequest, Entry, ReadRequest, Record, StatusRequest};
use testbed::{Service, command};
use tonic::Code;
use tonic::transport::Channel;

/// Rounds of kill -9, and the number of acknowledged appends after which each kill comes. An emulator is ten times slower.
fn rounds_and_appends() -> (usize, usize) {
    if std::env::var_os("BUILDLIB_EMULATED").is_some() { (5, 400) } else { (20, 1000) }
}

const CLIENTS: usize = 4;

fn program() -> String {
    testbed::program!("journal-server")
}

fn start(data: &Path, more: &[&str]) -> Service {
    let data = data.to_str().expect("UTF-8");
    let args = [&["--listen", "127.0.0.1:0", "--data", data][..], more].concat();
    Service::start(&program(), &args)
}

async fn client(service: &Service) -> JournalClient<Channel> {
    JournalClient::connect(format!("http://{}", service.address())).await.expect("it listens")
}

fn request(entries: &[(&str, &[u8])]) -> AppendRequest {
    let entries = entries.iter().map(|(key, value)| Entry { key: (*key).into(), value: value.to_vec() });
    AppendRequest { entries: entries.collect() }
}

async fn read(client: &mut JournalClient<Channel>, from_offset: u64, limit: u64) -> Vec<Record> {
    let request = ReadRequest { from_offset, limit, follow: false };
    let mut stream = client.read(request).await.expect("a stream").into_inner();
    let mut records = Vec::new();
    while let Some(record) = stream.message().await.expect("a whole record") {
        records.push(record);
    }
    records
}

/// The acknowledged records: offset → key and value.
type Acknowledged = Arc<Mutex<BTreeMap<u64, (String, Vec<u8>)>>>;

/// Appends one or two entries at a time until the server is killed.
async fn append(
    mut client: JournalClient<Channel>,
    name: String,
    acknowledged: Acknowledged,
    count: Arc<AtomicUsize>,
) {
    for number in 0.. {
        let value = format!("{name} {number} ").repeat(1 + number % 40).into_bytes();
        let entries = [("a", value.as_slice()), ("b", &value)];
        let entries = &entries[..1 + number % 2];
        let Ok(reply) = client.append(request(entries)).await else { return };
        let first = reply.into_inner().first_offset;
        let mut acknowledged = acknowledged.lock().expect("no panic");
        for (offset, (key, value)) in (first..).zip(entries) {
            acknowledged.insert(offset, ((*key).to_owned(), value.to_vec()));
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let acknowledged = Acknowledged::default();
    let (rounds, appends) = rounds_and_appends();
    for round in 0..rounds {
        let service = start(folder.path(), &["--segment-bytes", "100000"]);
        let count = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for number in 0..CLIENTS {
            let name = format!("round {round} client {number}");
            tasks.push(tokio::spawn(append(
                client(&service).await,
                name,
                acknowledged.clone(),
                count.clone(),
            )));
        }
        // At a different moment in each round.
        while count.load(Ordering::Relaxed) < 1 + round * appends / (rounds - 1) {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        service.kill();
        for task in tasks {
            task.await.expect("no panic");
        }
    }
    let service = start(folder.path(), &[]);
    let mut client = client(&service).await;
    let records = read(&mut client, 0, 0).await;
    let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (0..records.len() as u64).collect::<Vec<_>>());
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("no panic"));
    for (offset, (key, value)) in &acknowledged {
        let record = &records[usize::try_from(*offset).expect("small")];
        assert_eq!((&record.key, &record.value), (key, value), "{offset}");
    }
    assert!(acknowledged.len() > appends * rounds / 2, "{}", acknowledged.len());
    let status = client.status(StatusRequest {}).await.expect("an answer").into_inner();
    assert!(
        status.next_offset == records.len() as u64 && u64::from(status.segments) >= rounds as u64,
        "{status:?}"
    );
}

#[tokio::test]
async fn records_are_read_from_any_offset_and_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = start(folder.path(), &["--fsync", "50ms"]);
    let mut client = client(&service).await;
    let entries: Vec<(&str, &[u8])> = vec![("ä", b"0"), ("", b""), ("k", &[0xFF; 70_000])];
    assert_eq!(client.append(request(&entries)).await.expect("written").into_inner().first_offset, 0);
    let all = read(&mut client, 0, 0).await;
    let got: Vec<_> = all.iter().map(|record| (record.key.as_str(), record.value.as_slice())).collect();
    assert_eq!(got, entries);
    assert_eq!(read(&mut client, 1, 1).await, all[1..2]);
    assert_eq!(read(&mut client, 3, 0).await, []);
    let behind =
        client.read(ReadRequest { from_offset: 4, ..ReadRequest::default() }).await.expect_err("behind");
    assert_eq!((behind.code(), behind.message()), (Code::OutOfRange, "offset 4 is after the end, 3"));
    assert_eq!(client.append(AppendRequest::default()).await.expect_err("nothing").message(), "no entries");

    let request_all = ReadRequest { from_offset: 2, limit: 0, follow: true };
    let mut followed = client.read(request_all).await.expect("a stream").into_inner();
    assert_eq!(followed.message().await.expect("whole"), Some(all[2].clone()));
    client.append(request(&[("later", b"!")])).await.expect("written");
    assert_eq!(followed.message().await.expect("whole").map(|record| record.key), Some("later".into()));
    let (status, time) = service.stop();
    assert!(status.success() && time < testbed::STOP, "{status} after {time:?}, with a follower");
    assert_eq!(followed.message().await.expect("an orderly end"), None);
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_no_partial_write_remains() {
    let folder = tempfile::tempdir().expect("a folder");
    // A file size limit of 40 KiB stands in for a full disk; the signal that it sends is ignored.
    let script = r#"trap '' XFSZ; ulimit -f 40; exec "$@""#;
    let line = command(&program());
    let words =
        [line.get_program()].into_iter().chain(line.get_args()).map(|word| word.to_str().expect("UTF-8"));
    let data = folder.path().to_str().expect("UTF-8");
    let args: Vec<&str> = ["-c", script, "sh"].into_iter().chain(words).collect();
    let args = [&args[..], &["--listen", "127.0.0.1:0", "--data", data]].concat();
    let service = Service::start_as_is("bash", &args);
    let mut client = client(&service).await;
    client.append(request(&[("a", &[1; 30_000])])).await.expect("it fits");
    let full = client.append(request(&[("b", &[2; 30_000])])).await.expect_err("it does not fit");
    assert!(full.message().contains("File too large"), "{full}");
    assert_eq!(
        client.append(request(&[("c", &[3; 5_000])])).await.expect("it fits").into_inner().first_offset,
        1
    );
    service.kill();
    let service = start(folder.path(), &[]);
    let mut client = self::client(&service).await;
    let keys: Vec<_> = read(&mut client, 0, 0).await.into_iter().map(|record| record.key).collect();
    assert_eq!(keys, ["a", "c"]);
    assert!(!service.log().contains("incomplete end"), "{}", service.log());
}
