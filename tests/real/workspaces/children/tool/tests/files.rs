//! Files and directories that cargo promises to test binaries.

use std::path::Path;

#[test]
fn relative_file() {
    assert_eq!(std::fs::read_to_string("tests/data/text").unwrap(), "payload\n");
}

#[test]
fn manifest_dir_at_run_time() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    assert!(Path::new(&folder).join("tests/data/text").is_file());
}

#[test]
fn temporary_directory_of_cargo() {
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("file"), "x").unwrap();
}
