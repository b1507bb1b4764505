//! The parts of `--version` beside the number: the target triple and the commit.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = env::var("TARGET").expect("cargo sets TARGET for build scripts");
    println!("cargo::rustc-env=SERVICE_TARGET={target}");
    println!("cargo::rustc-env=SERVICE_COMMIT={}", commit());
}

/// `SOURCE_COMMIT` if the build has no repository (a container, a tarball), else HEAD. Uncommitted changes are not shown:
/// a mark for them would recompile every program at the first change to any of them.
fn commit() -> String {
    println!("cargo::rerun-if-env-changed=SOURCE_COMMIT");
    if let Ok(commit) = env::var("SOURCE_COMMIT") {
        return commit.chars().take(12).collect();
    }
    // Every commit and every checkout adds a line to HEAD's log. A missing file would rerun this script each time.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned())
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
