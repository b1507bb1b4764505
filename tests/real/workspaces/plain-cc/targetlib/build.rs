//! A build script that knows only plain CC and AR, as a configure without --host does.
use std::{env, path::Path, process::Command};

fn main() {
    let out = env::var("OUT_DIR").unwrap();
    let tool = |name: &str, usual: &str| env::var(name).unwrap_or_else(|_| usual.into());
    let run = |program: String, args: &[&str]| {
        assert!(Command::new(program).args(args).status().unwrap().success());
    };
    let object = format!("{out}/answer.o");
    let archive = format!("{out}/libtargetlib.a");
    // A package of the host, from the PKG_CONFIG_PATH of the person: the host's libraries must not be found for the target.
    let found = Command::new(tool("PKG_CONFIG", "pkg-config")).args(["--exists", "only-on-the-host"]).status().unwrap().success();
    assert!(!found);
    run(tool("CC", "cc"), &["-c", "answer.c", "-o", &object]);
    run(tool("AR", "ar"), &["crs", &archive, &object]);
    assert!(Path::new(&archive).is_file());
    println!("cargo::rustc-link-search=native={out}");
    // dylib: a shared library is asked for, and only an archive is there (openssl-sys does so).
    println!("cargo::rustc-link-lib=dylib=targetlib");
    println!("cargo::rerun-if-changed=answer.c");
}
