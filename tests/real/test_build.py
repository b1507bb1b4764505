"""`buildlib build`: from sources to checked binaries in dist/."""

import hashlib
import json
import re

import pytest
from testbed import BUILDLIB, PROGRAMS, assert_error, buildlib, install_packages, path_without, run

from buildlib.core.targets import TARGETS
from buildlib.elf import read

ARM64 = ("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu")


@pytest.fixture(scope="module")
def arm64_clone(clone):
    """The clone with its programs for arm64 in dist/."""
    built = buildlib("build", "--arch", "arm64", cwd=clone)
    assert built.code == 0, built
    return clone


def test_a_fresh_clone_gives_arm64_binaries(arm64_clone):
    clone = arm64_clone
    manifest = json.loads((clone / "dist" / "manifest.json").read_text())
    # Other tests build the clone for other architectures.
    entries = [entry for entry in manifest["binaries"] if entry["arch"] == "arm64"]
    assert [entry["path"] for entry in entries] == [f"arm64/{name}" for name in PROGRAMS]
    entry = entries[0]
    binary = clone / "dist" / "arm64" / "cli-command"
    facts = read(binary)
    assert (facts.machine, facts.bits, facts.loader) == (183, 64, "/lib/ld-linux-aarch64.so.1")
    assert entry["sha256"] == hashlib.sha256(binary.read_bytes()).hexdigest() == facts.sha256
    assert (entry["target"], entry["backend"], entry["floor"]) == ("aarch64-unknown-linux-gnu", "zig", "2.31")
    assert entry["started"] == "--version"
    assert run(*ARM64, binary, "arch").out.splitlines()[0] == "arch: aarch64"
    assert run("sha256sum", "--check", "SHA256SUMS", cwd=clone / "dist").code == 0


def test_an_unchanged_workspace_compiles_and_writes_nothing(arm64_clone):
    clone = arm64_clone
    before = (clone / "dist" / "manifest.json").stat().st_ino
    built = buildlib("build", "--arch", "arm64", cwd=clone)
    assert built.code == 0 and "nothing to compile" in built.err and "unchanged" in built.out, built
    assert (clone / "dist" / "manifest.json").stat().st_ino == before  # writing replaces the file


def test_invoke_runs_the_same_commands(arm64_clone):
    clone = arm64_clone
    built = run(BUILDLIB.parent / "invoke", "build", "--arch", "aarch64", "--json", cwd=clone)
    assert built.code == 0, built
    (result,) = json.loads(built.out)
    assert (result["arch"], result["status"], result["code"]) == ("arm64", "unchanged", 0)


def test_verify_refuses_a_binary_of_another_architecture(arm64_clone):
    clone = arm64_clone
    passed = buildlib("verify", cwd=clone)
    assert passed.code == 0 and "✓" in passed.out, passed
    foreign = clone / "dist" / "arm64" / "foreign"
    foreign.write_bytes((clone / "dist" / "arm64" / "cli-command").read_bytes())
    with foreign.open("r+b") as stream:
        stream.seek(18)
        stream.write((62).to_bytes(2, "little"))  # e_machine: x86-64
    try:
        failed = buildlib("verify", cwd=clone)
        assert failed.code == 6 and "machine: 62 (amd64), expected 183 (arm64)" in failed.out, failed
    finally:
        foreign.unlink()


def test_verify_finds_a_changed_file_and_build_restores_it(arm64_clone):
    clone = arm64_clone
    binary = clone / "dist" / "arm64" / "cli-command"
    original = binary.read_bytes()
    binary.write_bytes(original + b"\0")
    failed = buildlib("verify", "dist", cwd=clone)
    changed, expected = (hashlib.sha256(data).hexdigest() for data in (original + b"\0", original))
    assert failed.code == 6 and f"sha256: {changed}, expected {expected}" in failed.out, failed
    assert buildlib("build", "--arch", "arm64", cwd=clone).code == 0
    assert binary.read_bytes() == original


# --- every architecture -------------------------------------------------------------------------------------


# Those that most workspaces ask for; "extended" has the rest.
COMMON = ("amd64", "arm64", "armv7", "riscv64", "arm64-musl")


@pytest.mark.slow
def test_std_compiles_and_runs_on_common_architectures(workspace, qemu):
    assert_std_runs(workspace("hello"), [TARGETS[name] for name in COMMON])


@pytest.mark.extended
@pytest.mark.parametrize("libc", ["gnu", "musl"])
def test_std_compiles_and_runs_on_every_architecture(workspace, loong64, libc):
    targets = [target for target in TARGETS.values() if target.is_musl == (libc == "musl")]
    assert_std_runs(workspace("hello"), targets, loong64)


def assert_std_runs(hello, targets, loong64=None):
    built = buildlib("build", "--arch", ",".join(target.name for target in targets), "--json", cwd=hello, env=loong64)
    assert built.code == 0, built
    results = json.loads(built.out)
    assert [result["arch"] for result in results] == [target.name for target in targets]
    assert all(binary["started"] for result in results for binary in result["binaries"])
    output = {target.name: start(hello / "dist" / target.name / "hello", target, loong64) for target in targets}
    assert output == {target.name: f"{rust_arch(target)} squares=14 caught=true root=1.414\n" for target in targets}


def start(binary, target, loong64):
    """The output of the binary, under QEMU unless this machine's CPU runs it."""
    libraries = loong64["LIBC"] if target.name == "loong64" else f"/usr/{target.gnu}"
    emulator = (f"qemu-{target.qemu}-static", *(() if target.is_musl else ("-L", libraries)))
    words = () if target.name.startswith("amd64") else emulator
    # The static armv6 binary must run on an ARMv6 CPU. The dynamic one uses Debian's armhf libc, which needs ARMv7.
    env = {"QEMU_CPU": "arm1176"} if target.name == "armv6-musl" else {}
    return run(*words, binary, env=(loong64 or {}) | env).out


def rust_arch(target):
    """What Rust's std knows of the architecture: name, pointer width, byte order."""
    names = {
        "amd64": "x86_64 64 little",
        "386": "x86 32 little",
        "s390x": "s390x 64 big",
        "ppc64le": "powerpc64 64 little",
    }
    names |= {"arm64": "aarch64 64 little", "armv7": "arm 32 little", "armv6": "arm 32 little"}
    names |= {"riscv64": "riscv64 64 little", "loong64": "loongarch64 64 little"}
    return names[target.name.removesuffix("-musl")]


# --- C code, and the workspace's own settings ---------------------------------------------------------------


@pytest.mark.parametrize("backend", ["zig", "gcc"])
def test_plain_cc_is_the_target_s_compiler_and_build_dependencies_use_the_host_s(workspace, qemu, cross_gcc, backend):
    install_packages("pkg-config")
    app = workspace("plain-cc")
    (app / "only-on-the-host.pc").write_text("Name: x\nDescription: x\nVersion: 1\n")
    env = {"PKG_CONFIG_PATH": str(app)}
    built = buildlib("build", "--arch", "arm64", "--backend", backend, cwd=app, env=env)
    assert built.code == 0, built
    assert run(*ARM64, app / "dist" / "arm64" / "app").out == "aarch64 42 42\n"


def test_a_machine_without_a_c_compiler(workspace, qemu, tmp_path):
    """zig links build scripts as well: a slim container has no other linker."""
    compilers = re.compile(r"(.*-)?(cc|gcc|g\+\+|c\+\+|clang.*|ld(\..*)?|cpp|c99|c89)(-[\d.]+)?$").fullmatch
    app = workspace("plain-cc")
    for library in ("hostlib", "targetlib"):  # the previous test checks pkg-config
        script = app / library / "build.rs"
        script.write_text(re.sub(r"    let found = .*\n    assert.*found.*\n", "", script.read_text()))
    built = buildlib("build", "--arch", "arm64", cwd=app, env=path_without(tmp_path / "tools", compilers))
    assert built.code == 0, built
    assert run(*ARM64, app / "dist" / "arm64" / "app").out == "aarch64 42 42\n"


@pytest.mark.parametrize("backend", ["zig", "gcc"])
def test_cmake_and_bindgen_use_the_target(workspace, qemu, cross_gcc, backend):
    """A pointer has four bytes for cmake's compiler and for libclang, on a machine where it has eight."""
    native = workspace("native")
    built = buildlib("build", "--arch", "armv7", "--backend", backend, cwd=native)
    assert built.code == 0, built
    started = run("qemu-arm-static", "-L", "/usr/arm-linux-gnueabihf", native / "dist" / "armv7" / "native")
    assert started.out == "compiled=4 read=4\n", started


def test_the_workspace_s_own_settings_apply(workspace, qemu):
    project = workspace("settings")
    built = buildlib("build", "--arch", "arm64", "--profile", "small", "--features", "extra", cwd=project)
    assert built.code == 0, built
    started = run(*ARM64, project / "dist" / "arm64" / "settings")
    assert started.out == 'from_build=true from_env=Some("yes") extra=true panic=abort\n', started


def test_the_workspace_s_own_flags_apply_where_a_wrapper_of_rustc_makes_the_binary_static(workspace, qemu):
    project = workspace("settings")
    built = buildlib("build", "--arch", "riscv64-musl", cwd=project)
    assert built.code == 0, built
    started = run("qemu-riscv64-static", project / "dist" / "riscv64-musl" / "settings")
    assert started.out == 'from_build=true from_env=Some("yes") extra=false panic=unwind\n', started


def test_the_workspace_s_own_linker_is_used(workspace, qemu, cross_gcc):
    project = workspace("settings")
    linker = project / "my-linker"
    linker.write_text(f'#!/bin/sh\ntouch "{project}/linked"\nexec aarch64-linux-gnu-gcc "$@"\n')
    linker.chmod(0o755)
    with (project / ".cargo" / "config.toml").open("a") as config:
        config.write(f'[target.aarch64-unknown-linux-gnu]\nlinker = "{linker}"\n')
    built = buildlib("build", "--arch", "arm64", cwd=project)
    assert built.code == 0 and f"the workspace links with {linker}" in built.err, built
    assert (project / "linked").exists()


@pytest.mark.parametrize("arch", ["arm64", "armv7"])
def test_the_gcc_backend_links_against_gcc_s_own_libc(workspace, qemu, cross_gcc, arch):
    hello = workspace("hello")
    built = buildlib("build", "--arch", arch, "--backend", "gcc", "--json", cwd=hello)
    assert built.code == 0, built
    (entry,) = json.loads(built.out)[0]["binaries"]
    assert entry["backend"] == "gcc" and entry["started"] and tuple(map(int, entry["floor"].split("."))) >= (2, 31)
    refused = buildlib("build", "--arch", arch, "--backend", "gcc", "--glibc", "2.17", cwd=hello)
    glibc = entry["facts"]["glibc"]
    message = f"{arch}: the gate refused\n  hello: glibc: {glibc}, expected 2.17 or older"
    assert_error(refused, 6, message, "dist/ is unchanged")


def test_backends_share_no_target_directory(workspace, qemu, cross_gcc):
    hello = workspace("hello")
    for backend in ("zig", "gcc"):
        assert buildlib("build", "--arch", "arm64", "--backend", backend, cwd=hello).code == 0
    for backend in ("zig", "gcc"):
        again = buildlib("build", "--arch", "arm64", "--backend", backend, cwd=hello)
        assert again.code == 0 and "nothing to compile" in again.err, again
