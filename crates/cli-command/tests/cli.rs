//! The real program, called as a user calls it.

use std::process::{Command, Output, Stdio};

fn program() -> Command {
    testbed::command(&testbed::program!("cli-command"))
}

fn cli(args: &[&str]) -> Output {
    program().args(args).output().expect("cli-command starts")
}

fn code_and_stderr(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// An address on which nothing listens.
fn closed() -> String {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr());
    taken.expect("a port").to_string()
}

#[test]
fn arch_prints_the_machine_that_it_runs_on() {
    let output = cli(&["arch"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().next(), Some(format!("arch: {}", std::env::consts::ARCH).as_str()));
}

#[test]
fn only_a_known_path_can_be_forced() {
    let plain = program().arg("arch").env("ARCH_PATH", "plain").output().expect("starts");
    assert!(String::from_utf8_lossy(&plain.stdout).contains("path: plain (0 bytes a vector)"));
    let wrong = program().arg("arch").env("ARCH_PATH", "altivec").output().expect("starts");
    let line = "cli-command: ARCH_PATH=altivec: unknown path (expected one of plain sse4.2 avx2 neon)\n";
    assert_eq!(code_and_stderr(&wrong), (Some(2), line.to_owned()));
}

#[test]
fn version_contains_target_and_commit() {
    let output = cli(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("cli-command {}\n", service::VERSION));
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for wrong in [&["arhc"][..], &["mqtt", "pub"], &["health", "x"], &["--broker", "x", "arch"]] {
        assert_eq!(cli(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let missing = cli(&["--config", "/nonexistent/x.toml", "arch"]);
    let line = "cli-command: /nonexistent/x.toml: No such file or directory (os error 2)\n";
    assert_eq!(code_and_stderr(&missing), (Some(2), line.to_owned()));
}

#[test]
fn an_unreachable_service_gives_one_line() {
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
        let (code, text) = code_and_stderr(&cli(args));
        assert!(text.starts_with(&format!("cli-command: {start}")) && text.lines().count() == 1, "{text}");
        assert_eq!(code, Some(1), "{args:?}");
    }
}

#[test]
fn a_signal_ends_the_wait_for_input() {
    // A listener that accepts and sends nothing is enough for the connection; the program waits for standard input.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let mut child = program()
        .args(["--journal", &url, "journal", "append"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let _connection = silent.accept().expect("it connects");
    let since = std::time::Instant::now();
    testbed::terminate(&child);
    let status = child.wait().expect("a child process");
    assert!(status.success() && since.elapsed() < testbed::STOP, "{status}");
}
