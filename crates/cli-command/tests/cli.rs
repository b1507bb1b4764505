//! The real program, as a person calls it.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn program() -> Command {
    testbed::command(&testbed::program!("cli-command"))
}

fn cli(args: &[&str]) -> Output {
    program().args(args).output().expect("cli-command starts")
}

fn told(said: &Output) -> (Option<i32>, String) {
    (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
}

/// A port that nobody listens on.
fn closed() -> String {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
    taken.expect("a port").to_string()
}

#[test]
fn arch_prints_where_it_runs() {
    let said = cli(&["arch"]);
    let text = String::from_utf8(said.stdout).expect("UTF-8");
    assert!(said.status.success(), "{text}");
    assert_eq!(text.lines().next(), Some(format!("arch: {}", std::env::consts::ARCH).as_str()));
}

#[test]
fn a_path_can_be_forced_and_only_one_that_is_there() {
    let plain = program().arg("arch").env("ARCH_PATH", "plain").output().expect("starts");
    assert!(String::from_utf8_lossy(&plain.stdout).contains("path: plain (0 bytes a vector)"));
    let wrong = program().arg("arch").env("ARCH_PATH", "altivec").output().expect("starts");
    let line = "cli-command: ARCH_PATH=altivec: no such path, one of plain sse4.2 avx2 neon\n";
    assert_eq!(told(&wrong), (Some(2), line.to_owned()));
}

#[test]
fn version_tells_target_and_commit() {
    let said = cli(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&said.stdout), format!("cli-command {}\n", service::VERSION));
}

#[test]
fn wrong_words_are_usage_errors() {
    for wrong in [&["arhc"][..], &["mqtt", "pub"], &["health", "x"], &["--broker", "x", "arch"]] {
        assert_eq!(cli(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let missing = cli(&["--config", "/nonexistent/x.toml", "arch"]);
    let line = "cli-command: /nonexistent/x.toml: No such file or directory (os error 2)\n";
    assert_eq!(told(&missing), (Some(2), line.to_owned()));
}

#[test]
fn a_service_that_is_not_there_is_told_in_one_line() {
    let address = closed();
    let url = format!("http://{address}");
    for (args, start) in [
        (
            &["--placement-center", &url, "node", "list"][..],
            format!("cannot reach the placement center at {url}: "),
        ),
        (&["--journal", &url, "journal", "read"], format!("cannot reach the journal at {url}: ")),
        (&["--broker", &address, "mqtt", "pub", "x", "y"], format!("{address}: ")),
        (
            &["--broker", &address, "mqtt", "pub", "x/#", "y"],
            "x/#: not a topic that can be published to\n".to_owned(),
        ),
        (&["health", &format!("mqtt://{address}")], "1 of 1 not healthy\n".to_owned()),
    ] {
        let (code, text) = told(&cli(args));
        assert!(text.starts_with(&format!("cli-command: {start}")) && text.lines().count() == 1, "{text}");
        assert_eq!(code, Some(1), "{args:?}");
    }
}

#[test]
fn a_signal_ends_it_while_it_waits_for_input() {
    // A listener that accepts and says nothing is enough for the connection; the wait is for standard input.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let mut child = program()
        .args(["--journal", &url, "journal", "append"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    std::thread::sleep(Duration::from_millis(700));
    let since = std::time::Instant::now();
    testbed::terminate(&child);
    let status = child.wait().expect("a child of ours");
    assert!(status.success() && since.elapsed() < Duration::from_secs(5), "{status}");
}
