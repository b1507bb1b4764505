//! Every way in which tests start programs of the target.

use std::env::consts::ARCH;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const TOOL: &str = env!("CARGO_BIN_EXE_tool");

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn run(command: &mut Command) -> String {
    text(&command.output().unwrap())
}

#[test]
fn program() {
    assert_eq!(run(&mut Command::new(TOOL)), ARCH);
}

#[test]
fn program_with_a_dash() {
    let helper = Path::new(TOOL).with_file_name("tool-helper");
    assert_eq!(run(&mut Command::new(helper)), format!("helper on {ARCH}"));
}

#[test]
fn exit_code() {
    assert_eq!(Command::new(TOOL).arg("fail").status().unwrap().code(), Some(3));
}

#[test]
fn signal() {
    assert_eq!(Command::new(TOOL).arg("abort").stderr(Stdio::null()).status().unwrap().signal(), Some(6));
}

#[test]
fn words() {
    let odd = ["words", "", "a b", "-L", "--", "-0", "ü\n"];
    assert_eq!(run(Command::new(TOOL).args(odd)), format!("{odd:?}"));
}

#[test]
fn name() {
    assert_eq!(run(Command::new(TOOL).arg("name")), TOOL);
    assert_eq!(run(Command::new(TOOL).arg0("another").arg("name")), "another");
}

#[test]
fn variables() {
    assert_eq!(run(Command::new(TOOL).env("odd-name.x", "1").args(["variable", "odd-name.x"])), "Some(\"1\")");
}

#[test]
fn pipes() {
    let mut child = Command::new(TOOL).arg("echo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let data = vec![b'x'; 200_000];
    let mut pipe = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || pipe.write_all(&data).unwrap());
    assert_eq!(child.wait_with_output().unwrap().stdout.len(), 200_000);
    writer.join().unwrap();
}

#[test]
fn many_at_once() {
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(|| run(&mut Command::new(TOOL)))).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == ARCH));
}

#[test]
fn cleared_environment() {
    assert_eq!(run(Command::new(TOOL).env_clear()), ARCH);
    assert_eq!(run(Command::new(TOOL).env_clear().args(["variable", "PATH"])), "None");
}

#[test]
fn shell_script() {
    let output = run(Command::new("tests/run.sh").arg(TOOL));
    assert_eq!(output.lines().collect::<Vec<_>>(), [ARCH; 3]);
}

#[test]
fn copy_in_another_directory() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("copy");
    // Not std::fs::copy: a program that another test starts meanwhile inherits the open file until its exec, and "Text file busy".
    assert!(Command::new("cp").arg(TOOL).arg(&copy).status().unwrap().success());
    assert_eq!(run(&mut Command::new(copy)), ARCH);
}

#[test]
fn example() {
    let demo = Path::new(TOOL).with_file_name("examples").join("demo");
    assert_eq!(run(&mut Command::new(demo)), format!("demo on {ARCH}"));
}

/// As assert_cmd's `Command::cargo_bin` does it.
#[test]
fn through_cargo_s_runner() {
    let runner = std::env::vars().find(|(name, _)| {
        name.ends_with("_RUNNER") && name.to_lowercase().contains(&format!("cargo_target_{ARCH}_"))
    });
    let mut command = match &runner {
        Some((_, words)) => {
            let mut words = words.split(' ');
            let mut command = Command::new(words.next().unwrap());
            command.args(words).arg(TOOL);
            command
        }
        None => Command::new(TOOL),
    };
    assert_eq!(run(&mut command), ARCH);
    assert_eq!(run(command.env_clear()), ARCH);
}

#[test]
fn itself() {
    if std::env::var_os("AS_CHILD").is_some() {
        println!("child on {ARCH}");
        return;
    }
    let own = std::env::current_exe().unwrap();
    let output = run(Command::new(own).args(["--exact", "itself", "--nocapture"]).env("AS_CHILD", "1"));
    assert!(output.contains(&format!("child on {ARCH}")), "{output}");
}

#[test]
fn grandchild() {
    assert_eq!(run(Command::new(TOOL).arg("again")), ARCH);
}
