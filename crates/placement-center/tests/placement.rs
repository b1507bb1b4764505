//! The real program: a client registers, the program is killed with -9, and the list still exists.

use std::time::Duration;

use protocol::placement::placement_client::PlacementClient;
use protocol::placement::{HeartbeatRequest, ListRequest, Node, RegisterRequest};
use testbed::{Service, command};
use tonic::Code;

fn program() -> String {
    testbed::program!("placement-center")
}

fn start(data: &std::path::Path, lease_ms: &str) -> Service {
    let data = data.to_str().expect("UTF-8");
    Service::start(&program(), &["--listen", "127.0.0.1:0", "--data", data, "--lease-ms", lease_ms])
}

async fn client(service: &Service) -> PlacementClient<tonic::transport::Channel> {
    PlacementClient::connect(format!("http://{}", service.address())).await.expect("it listens")
}

fn node(id: &str) -> Node {
    Node { id: id.into(), kind: "mqtt-server".into(), address: "127.0.0.1:1883".into(), ..Node::default() }
}

#[tokio::test]
async fn registered_nodes_survive_kill_9_and_expire_when_silent() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = start(folder.path(), "60000");
    let mut center = client(&service).await;
    for id in ["b", "a"] {
        let reply = center.register(RegisterRequest { node: Some(node(id)) }).await.expect("registered");
        assert_eq!(reply.into_inner().lease_ms, 60_000);
    }
    let before = center.list(ListRequest::default()).await.expect("listed").into_inner().nodes;
    service.kill();

    let service = start(folder.path(), "5000");
    let mut center = client(&service).await;
    let after = center.list(ListRequest::default()).await.expect("listed").into_inner().nodes;
    let facts = |nodes: &[protocol::placement::ListedNode]| -> Vec<_> {
        nodes.iter().map(|listed| (listed.node.clone(), listed.registered_at_ms)).collect()
    };
    assert_eq!(facts(&after), facts(&before));
    assert_eq!(
        after.iter().filter_map(|listed| listed.node.clone()).collect::<Vec<_>>(),
        [node("a"), node("b")]
    );
    // The lease is far longer than the interval, so that a slow machine does not miss it.
    let mut left = after.len();
    while left > 1 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        center.heartbeat(HeartbeatRequest { id: "b".into() }).await.expect("its lease is valid");
        left = center.list(ListRequest::default()).await.expect("listed").into_inner().nodes.len();
    }
    let left = center.list(ListRequest::default()).await.expect("listed").into_inner().nodes;
    assert_eq!(left.into_iter().filter_map(|listed| listed.node).collect::<Vec<_>>(), [node("b")]);
    let late =
        center.heartbeat(HeartbeatRequest { id: "a".into() }).await.expect_err("its lease has expired");
    assert_eq!(late.code(), Code::NotFound);
    let wrong = center.register(RegisterRequest { node: Some(node("")) }).await.expect_err("no id");
    assert_eq!(wrong.message(), "id: 1 to 255 bytes");
}

#[test]
fn it_answers_health_checks_and_stops_on_a_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = start(folder.path(), "1000");
    let address = service.address().to_string();
    let health =
        |address: &str| command(&program()).args(["--health", "--listen", address]).output().expect("starts");
    assert!(health(&address).status.success());
    assert!(
        service.log().contains(&format!("arch=\"{}\" path=", std::env::consts::ARCH)),
        "{}",
        service.log()
    );
    let (status, time) = service.stop();
    assert!(status.success() && time < testbed::STOP, "{status} after {time:?}");
    let output = health(&address);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.starts_with(&format!("placement-center: http://{address}: ")) && text.lines().count() == 1,
        "{text}"
    );
}

#[test]
fn wrong_settings_are_one_line_and_exit_code_2() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "lease-ms = 5\n").expect("written");
    let name = file.path().to_str().expect("UTF-8");
    for (args, line) in [
        (
            &["--listen", "nowhere"][..],
            "invalid value 'nowhere' for '--listen <ADDRESS>': invalid socket address syntax".to_owned(),
        ),
        (&["--lisen"], "unexpected argument '--lisen' found".to_owned()),
        (
            &["--config", name],
            format!("{name}: invalid value '5' for '--lease-ms <MS>': 5 is not in 100..=86400000"),
        ),
    ] {
        let output = command(&program()).args(args).output().expect("starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), text), (Some(2), format!("placement-center: {line}\n")));
    }
}

#[test]
fn version_contains_target_and_commit() {
    let output = command(&program()).arg("--version").output().expect("starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((output.status.code(), text), (Some(0), format!("placement-center {}\n", service::VERSION)));
    assert!(service::VERSION.contains(std::env::consts::ARCH.trim_end_matches("64")), "{}", service::VERSION);
}

#[test]
fn a_port_in_use_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let data = folder.path().to_str().expect("UTF-8");
    let output = command(&program()).args(["--listen", &address, "--data", data]).output().expect("starts");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains(&format!("cannot listen on {address}: Address already in use")), "{log}");
}
