//! A process of its own, because the working directory is the whole process's.

use std::process::Command;

#[test]
fn other_directory() {
    std::env::set_current_dir("/").unwrap();
    assert!(!std::path::Path::new("tests/data/text").exists());
    let output = Command::new(env!("CARGO_BIN_EXE_tool")).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), std::env::consts::ARCH);
}
