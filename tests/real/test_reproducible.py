"""The same sources give the same binaries in another directory, for another user, at another time."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import ziglang
from testbed import BUILDLIB, COMPILES_WHERE_C, run

# A file that a build script writes, one of C, a second package, and debug information: compilers write paths for each.
FILES = {
    "app/Cargo.toml": """
        [package]
        name = "app"
        version = "1.0.0"
        edition = "2021"
        [dependencies]
        helper = { path = "helper" }
        [profile.release]
        debug = true
        """,
    "app/build.rs": """
        use std::{env, fs, path::Path, process::Command};

        fn main() {
            let out = env::var("OUT_DIR").unwrap();
            fs::write(Path::new(&out).join("made.rs"), "pub fn made(n: usize) -> u8 { [1, 2, 3][n] }").unwrap();
        """ + COMPILES_WHERE_C + "}\n",
    "app/src/where.c": "const char *where(void) { return __FILE__ \" \" __DATE__ \" \" __TIME__; }\n",
    "app/src/main.rs": """
        mod made {
            include!(concat!(env!("OUT_DIR"), "/made.rs"));
        }

        extern "C" {
            fn r#where() -> *const std::ffi::c_char;
        }

        fn main() {
            let n = std::env::args().count() - 1;
            println!("{} {}", made::made(n), helper::twice(n as u8));
            println!("{}", unsafe { std::ffi::CStr::from_ptr(r#where()) }.to_str().unwrap());
        }
        """,
    "app/helper/Cargo.toml": '[package]\nname = "helper"\nversion = "1.0.0"\nedition = "2021"\n',
    "app/helper/src/lib.rs": "pub fn twice(n: u8) -> u8 {\n    n.checked_mul(2).unwrap()\n}\n",
}  # fmt: skip


def digest(folder, backend, env):
    """The SHA-256 of the program, built from the files in this directory, to which a link leads."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    link = folder.parent / f"link to {folder.name}"
    link.symlink_to(folder)
    words = (BUILDLIB, "build", "--arch", "arm64", "--backend", backend)
    built = run(*words, cwd=link / "app", env={**env, "BUILDLIB_EMBED_SBOM": "true", "PWD": str(link / "app")})
    assert built.code == 0, built
    program = (folder / "app" / "dist" / "arm64" / "app").read_bytes()
    # With debug information zig's own C library has the paths of zig.
    for path in (folder, link, Path(ziglang.__file__).parent):
        assert str(path).encode() not in program
    return hashlib.sha256(program).hexdigest()


@pytest.mark.parametrize("backend", ["zig", "gcc"])
def test_the_place_the_user_and_the_time_do_not_matter(backend, cross_gcc, qemu, tmp_path):
    home = os.environ.get("HOME", "/root")
    first = digest(tmp_path / "a", backend, {"RUSTUP_HOME": os.environ.get("RUSTUP_HOME", f"{home}/.rustup")})
    other = {
        "CARGO_HOME": str(tmp_path / "another place" / "below it" / "app" / ".cargo"),
        "TZ": "Asia/Tokyo",
        "LANG": "C",
        "USER": "nobody",
        "CARGO_BUILD_JOBS": "1",
    }
    assert digest(tmp_path / "another place" / "below it", backend, other) == first


DATED = """
    fn main() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        println!("cargo:rustc-env=BUILT={now}");
    }
    """


def test_reproduce_names_what_in_the_project_differs(tmp_path):
    for name, text in {
        "Cargo.toml": '[package]\nname = "clock"\nversion = "1.0.0"\nedition = "2021"\n',
        "build.rs": DATED,
        "src/main.rs": 'fn main() {\n    println!("built at {}", env!("BUILT"));\n}\n',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    words = (BUILDLIB, "reproduce", "--arch", "arm64", "--json")
    differs = run(*words, cwd=tmp_path)
    (row,) = json.loads(differs.out)
    assert (differs.code, row["identical"], row["origins"]) == (
        1,
        False,
        ["the build script of clock prints another value of BUILT"],
    )
    assert row["difference"].startswith(".rodata, byte ") and "built at 1" in row["difference"]

    (tmp_path / "build.rs").write_text(DATED.replace("std::time::SystemTime::now()", "std::time::UNIX_EPOCH"))
    same = run(*words, cwd=tmp_path)
    (row,) = json.loads(same.out)
    program = (tmp_path / "dist" / "arm64" / "clock").read_bytes()
    assert (same.code, row) == (0, {
        "arch": "arm64", "binary": "clock", "sha256": hashlib.sha256(program).hexdigest(), "identical": True, "difference": "",
        "origins": [], "ok": True, "exit_code": 0, "errors": [],
    })  # fmt: skip
