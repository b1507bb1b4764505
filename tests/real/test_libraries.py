"""`libraries`: packages for the target, from a mirror that is made here, in builds, tests, dist/, and an image."""

import http.server
import json
import re
import sys
import threading
from pathlib import Path

import pytest
from debian_packages import Link, Package, mirror
from testbed import assert_error, buildlib, install_packages, run

from buildlib.core.targets import find_target
from buildlib.elf import read
from buildlib.machine.host import cache_folder

ARCHES = ("arm64", "armv7", "riscv64")
# A dependency that the program does not name, in a directory that only systems without merged /usr have, and a function of a newer
# glibc than the default minimum: 2.34 moved pthread_create into libc.
INNER = "#include <pthread.h>\nstatic void *run(void *x) { return x; }\nint inner(void) { pthread_t t; pthread_create(&t, 0, run, 0);"
INNER += " return pthread_join(t, 0) + 41; }\n"
GREET = '#include "greet.h"\nint inner(void);\nint greet(void) { return inner() + GREET_MORE; }\n'
HEADER = "#include <greet-config.h>\nint greet(void);\n"  # greet-config.h is in the multiarch directory
PC = b"""prefix=/usr
libdir=${prefix}/lib/%(multiarch)b
includedir=${prefix}/include
Name: greet
Description: for tests
Version: 1.0
Libs: -L${libdir} -lgreet
Cflags: -I${includedir}
"""
MANIFEST = """
[package]
name = "app"
version = "1.0.0"
edition = "2021"
[[bin]]
name = "app"
path = "src/main.rs"
[[bin]]
name = "alone"
path = "src/alone.rs"
"""
# What crates do: pkg-config for the linker, the C compiler with the header.
BUILD = r"""
use std::process::Command;

fn words(command: &str, argument: &str) -> String {
    let output = Command::new(std::env::var(command).unwrap()).args(argument.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for word in words("PKG_CONFIG", "--libs greet").split_whitespace() {
        match word.split_at(2) {
            ("-L", folder) => println!("cargo:rustc-link-search=native={folder}"),
            ("-l", name) => println!("cargo:rustc-link-arg-bin=app=-l{name}"),
            _ => panic!("{word}"),
        }
    }
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::write(format!("{out}/more.c"), "#include <greet.h>\nint more(void) { return GREET_MORE; }\n").unwrap();
    let flags = words("PKG_CONFIG", "--cflags greet");
    let arguments = format!("-fPIC -c {out}/more.c -o {out}/more.o {}", flags.trim());
    words("CC", arguments.trim());
    println!("cargo:rustc-link-arg-bin=app={out}/more.o");
}
"""
SOURCE = """
extern "C" {
    fn greet() -> i32;
    fn more() -> i32;
}

fn main() {
    println!("app 1.0.0 {} {}", unsafe { greet() }, unsafe { more() });
}
"""
TEST = """
#[test]
fn the_library_is_loaded() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_app")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "app 1.0.0 42 1\\n");
}
"""


def compiled(folder, target, name, source, *libraries):
    """A shared library for the target, whose soname ends with .so.1."""
    file = folder / target.name / f"lib{name}.so.1"
    file.parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.c").write_text(source)
    (folder / "greet.h").write_text(HEADER)
    (folder / "greet-config.h").write_text("#define GREET_MORE 1\n")
    triple = f"{target.gnu}.2.34"
    zig = (sys.executable, "-m", "ziglang", "cc", "-target", triple, "-shared", "-O1", f"-I{folder}")
    done = run(*zig, f"-Wl,-soname,lib{name}.so.1", "-o", file, folder / f"{name}.c", *libraries)
    assert done.code == 0, done
    return file


def packages(folder, target):
    """libgreet, libinner, their headers, and the C library of the distribution's cross compiler, as Debian has them."""
    lib, arch = f"usr/lib/{target.multiarch}", target.debian
    inner = compiled(folder, target, "inner", INNER)
    greet = compiled(folder, target, "greet", GREET, inner)
    libc = Path(f"/usr/{target.gnu}/lib")
    loader = Path(target.loader).name
    names = [path for path in libc.glob("lib*.so.*") if re.match(r"lib(c|m|dl|rt|pthread|gcc_s)\.so\.\d$", path.name)]
    return [
        Package("libc6", arch, files={f"usr/lib/{loader}": libc / loader, **{f"{lib}/{path.name}": path for path in names}}),
        Package("libc6-dev", arch, section="libdevel", files={"usr/include/stdio.h": b"#error not the compiler's own\n"}),
        # The loader of the distribution's cross compiler does not look in multiarch directories.
        Package("libinner1", arch, depends="libc6", files={
            f"lib/{target.multiarch}/libinner.so.1": inner,
            "lib/libinner.so.1": Link(f"{target.multiarch}/libinner.so.1"),
        }),
        Package("libgreet1", arch, depends="libinner1 (>= 1.0), libc6", files={
            f"{lib}/libgreet.so.1": greet, "usr/lib/libgreet.so.1": Link(f"{target.multiarch}/libgreet.so.1"),
        }),
        Package("greet-tools", arch, section="utils", files={"usr/bin/greet": b"a program"}),
        Package("libgreet-dev", arch, section="libdevel", depends="libgreet1 (= 1.0-1), libc6-dev, greet-tools", files={
            f"{lib}/libgreet.so": Link(f"/{lib}/libgreet.so.1"),
            f"{lib}/pkgconfig/greet.pc": PC % {b"multiarch": target.multiarch.encode()},
            "usr/include/greet.h": HEADER.encode(), f"usr/include/{target.multiarch}/greet-config.h": b"#define GREET_MORE 1\n",
        }),
        Package("libother-dev", arch, section="libdevel", conflicts="libgreet1"),
    ]  # fmt: skip


class Quiet(http.server.BaseHTTPRequestHandler):
    """A mirror that has nothing."""

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def project(tmp_path_factory, qemu):
    """A workspace whose program needs the library, and settings that name the mirror; the cache is empty."""
    install_packages("pkg-config")
    folder = tmp_path_factory.mktemp("libraries")
    rows = [package for arch in ARCHES for package in packages(folder / "made", find_target(arch))]
    rows.append(Package("libarm64only-dev", "arm64", section="libdevel"))
    for name, text in {
        "Cargo.toml": MANIFEST, "build.rs": BUILD, "src/main.rs": SOURCE, "tests/greet.rs": TEST,
        "src/alone.rs": 'fn main() {\n    println!("alone 1.0.0");\n}\n',
        "buildlib.toml": f'libraries = ["libgreet-dev"]\nmirror = "{mirror(folder / "mirror", rows)}"\n',
    }.items():  # fmt: skip
        (folder / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "app" / name).write_text(text)
    return folder / "app"


@pytest.fixture(scope="module")
def build(project):
    """A function that calls buildlib with a cache of its own for libraries; all else is in the usual one."""
    usual, cache = cache_folder(), project.parent / "cache" / "buildlib"
    cache.mkdir(parents=True)
    for folder in usual.iterdir() if usual.is_dir() else ():
        if folder.name != "libraries":
            (cache / folder.name).symlink_to(folder)
    return lambda *argv, **env: buildlib(*argv, cwd=project, env={"XDG_CACHE_HOME": str(cache.parent), **env})


@pytest.fixture(scope="module")
def built(build, project):
    return build("build", "--arch", ",".join(ARCHES))


def test_programs_load_the_libraries_of_their_packages(built, project):
    assert built.code == 0, built
    entries = {
        entry["path"]: entry for entry in json.loads((project / "dist" / "manifest.json").read_text())["binaries"]
    }
    for arch in ARCHES:
        app = entries[f"{arch}/app"]
        libraries = [(row["name"], row["package"], row["version"], row["path"]) for row in app["libraries"]]
        assert libraries == [
            ("libgreet.so.1", "libgreet1", "1.0-1", f"{arch}/app.libs/libgreet.so.1"),
            ("libinner.so.1", "libinner1", "1.0-1", f"{arch}/app.libs/libinner.so.1"),
        ]
        assert (app["started"], app["floor"]) == ("--version", "2.34")
        assert read(project / "dist" / arch / "app.libs" / "libinner.so.1").machine == find_target(arch).elf.machine
        assert "libraries" not in entries[f"{arch}/alone"]
        sbom = json.loads((project / "dist" / app["sbom"]["path"]).read_text())
        assert [(part["name"], part["purl"].partition("?")[0]) for part in sbom["components"] if "lib" in part["name"]] == [
            ("libgreet.so.1", "pkg:deb/debian/libgreet1@1.0-1"), ("libinner.so.1", "pkg:deb/debian/libinner1@1.0-1"),
        ]  # fmt: skip
        note = f"{arch}: programs will require glibc 2.34, as libinner.so.1 (libinner1) does"
        assert note in built.err
    sums = run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=project / "dist")
    assert (sums.code, sums.out.count("OK")) == (0, 18)


def test_nothing_is_downloaded_or_compiled_again(built, build, project):
    again = build(
        "build",
        "--arch",
        ",".join(ARCHES),
        "--json",
        BUILDLIB_MIRROR="http://127.0.0.1:1/",
        BUILDLIB_RETRY_ATTEMPTS="1",
    )
    # Another mirror is another request; the same mirror needs no network.
    assert again.code == 5, again
    again = build("build", "--arch", ",".join(ARCHES), "--offline", "--json")
    assert again.code == 0, again
    assert {row["status"] for row in json.loads(again.out)} == {"unchanged"}


def test_dist_is_verified_with_its_libraries(built, build, project):
    assert build("verify", "--run").code == 0
    library = project / "dist" / "arm64" / "app.libs" / "libinner.so.1"
    good = library.read_bytes()
    try:
        library.write_bytes(good + b"x")
        changed = build("verify")
        assert changed.code == 6 and "arm64/app.libs/libinner.so.1: missing or changed" in changed.out + changed.err, (
            changed
        )
    finally:
        library.write_bytes(good)


def test_tests_load_them_in_child_processes(built, build):
    tested = build("test", "--arch", "arm64", "--json")
    assert tested.code == 0, tested
    (result,) = json.loads(tested.out)
    cases = [case["name"] for suite in result["suites"] for case in suite["cases"] if case["result"] == "passed"]
    assert (cases, result["ran_on"]["machine"]) == (["the_library_is_loaded"], "aarch64")


@pytest.mark.slow
def test_an_image_contains_what_its_program_loads_and_nothing_for_one_that_loads_nothing(built, build, project, engine):
    settings = project / "buildlib.toml"
    own = settings.read_text()
    try:
        settings.write_text(f"{own}{engine.settings()}")
        pushed = build("image", "--push", "--arch", "arm64,riscv64", "--json", **engine.env)
        assert pushed.code == 0, pushed
        again = build("image", "--push", "--arch", "arm64,riscv64", "--json", **engine.env)
        assert [row["status"] for row in json.loads(again.out)] == ["unchanged", "unchanged"]
    finally:
        settings.write_text(own)

    def container(name, platform, *words):
        image = f"{engine.registry}/acme/{name}:1.0.0"
        done = run("docker", "run", "--rm", "--platform", platform, *words, image, env=engine.env)
        assert done.code == 0, done
        return done.out

    for platform in ("linux/arm64", "linux/riscv64"):
        assert container("app", platform) == "app 1.0.0 42 1\n"
        assert container("alone", platform) == "alone 1.0.0\n"
    layers = [build("verify", f"{engine.registry}/acme/{name}:1.0.0", **engine.env) for name in ("app", "alone")]
    assert [result.code for result in layers] == [0, 0], layers


def test_a_library_that_is_no_longer_needed_leaves_dist(built, build, project):
    source = project / "src" / "alone.rs"
    plain = source.read_text()
    build_script = (project / "build.rs").read_text()
    try:
        (project / "build.rs").write_text(build_script.replace("rustc-link-arg-bin=app=", "rustc-link-arg-bins="))
        source.write_text(SOURCE.replace("app 1", "alone 1"))
        assert build("build", "--arch", "arm64").code == 0
        assert sorted(path.name for path in (project / "dist" / "arm64" / "alone.libs").iterdir()) == [
            "libgreet.so.1",
            "libinner.so.1",
        ]
    finally:
        source.write_text(plain)
        (project / "build.rs").write_text(build_script)
    assert build("build", "--arch", "arm64").code == 0
    assert not list((project / "dist" / "arm64").glob("alone.libs/*"))


@pytest.mark.parametrize(
    ("words", "code", "message", "help_text"),
    [
        (["--library", "libgreet9-dev"], 2, "libraries: Debian trixie for arm64 has no package libgreet9-dev",
         re.compile("packages.debian.org .+")),
        (["--library", "libgreet-dev=2"], 2, "libraries: Debian trixie for arm64 has no libgreet-dev=2", "leave the version out"),
        (["--library", "libgreet-dev,libother-dev"], 2,
         re.compile("libraries: libgreet-dev libother-dev cannot be installed together: .*libother-dev : Conflicts: libgreet1.*"),
         ""),
        (["--library", "Libgreet"], 2, re.compile('flag: libraries.* = "Libgreet": expected the name of a Debian package.*'), ""),
        (["--library", "libgreet-dev", "--glibc", "2.31"], 2,
         "glibc = 2.31 (flag): libinner.so.1 of libinner1 (Debian trixie) requires glibc 2.34",
         "leave the setting out for 2.34, or set `suite` to an older one"),
        (["--library", "libother-dev", "--offline"], 5, "libraries: libother-dev for arm64 are not in the cache",
         "leave --offline out once"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_settings_is_named(build, words, code, message, help_text):
    assert_error(build("build", "--arch", "arm64", *words), code, message, help_text)


def test_a_package_may_be_missing_for_one_architecture(build):
    message = "libraries: Debian trixie for riscv64 has no package libarm64only-dev"
    result = build("build", "--arch", "riscv64", "--library", "libarm64only-dev")
    assert_error(result, 2, message, re.compile(".+architectures that have them"))


def test_a_suite_may_be_gone_and_a_mirror_out_of_reach(build):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/debian"
        gone = build("build", "--arch", "arm64", BUILDLIB_SUITE="potato", BUILDLIB_MIRROR=address)
        server.shutdown()
    assert_error(
        gone, 2, re.compile("suite: the mirror has no potato: .+"), re.compile("choose a suite that is maintained.+")
    )
    down = build("build", "--arch", "arm64", BUILDLIB_MIRROR="http://127.0.0.1:1/debian", BUILDLIB_RETRY_ATTEMPTS="1")
    assert_error(down, 5, re.compile("Debian trixie for arm64: .*127.0.0.1:1.*Connection refused.*"), re.compile(".+"))


def test_a_plan_downloads_nothing(build, project, tmp_path):
    planned = build("plan", "--arch", "arm64", XDG_CACHE_HOME=str(tmp_path))
    assert planned.code == 0, planned
    assert "warning: arm64: libgreet-dev of Debian trixie would be downloaded" in planned.err
    assert list(tmp_path.iterdir()) == []
