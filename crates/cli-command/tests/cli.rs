//! The real program, as a person calls it.

use std::process::{Command, Output};

fn cli(args: &[&str]) -> Output {
    cli_with(None, args)
}

fn cli_with(path: Option<&str>, args: &[&str]) -> Output {
    // Under emulation the kernel cannot start a foreign binary, the runner that cargo was given can.
    // Said when compiling, but by a newer cargo for another target only when running.
    let binary = option_env!("CARGO_BIN_EXE_cli-command").map(str::to_owned);
    let binary =
        binary.or_else(|| std::env::var("CARGO_BIN_EXE_cli-command").ok()).expect("cargo names the binary");
    let runner =
        std::env::vars().find(|(name, _)| name.starts_with("CARGO_TARGET_") && name.ends_with("_RUNNER"));
    let words = runner.map(|(_, words)| words).unwrap_or_default();
    let mut line = words.split_whitespace().map(str::to_owned).chain([binary]);
    let program = line.next().expect("at least the binary");
    let mut command = Command::new(program);
    command.args(line).args(args).env_remove("ARCH_PATH");
    if let Some(path) = path {
        command.env("ARCH_PATH", path);
    }
    command.output().expect("cli-command starts")
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
    let plain = cli_with(Some("plain"), &["arch"]);
    assert!(String::from_utf8_lossy(&plain.stdout).contains("path: plain (0 bytes a vector)"));
    let wrong = cli_with(Some("altivec"), &["arch"]);
    assert_eq!(wrong.status.code(), Some(2));
    let told = "cli-command: ARCH_PATH=altivec: no such path, one of plain sse4.2 avx2 neon\n";
    assert_eq!(String::from_utf8_lossy(&wrong.stderr), told);
}

#[test]
fn version_is_the_package_version() {
    let said = cli(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&said.stdout), format!("cli-command {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_word_is_a_usage_error() {
    assert_eq!(cli(&["arhc"]).status.code(), Some(2));
}
