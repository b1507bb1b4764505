"""`buildlib build`, from sources to binaries that were read back."""

import hashlib
import json
import re

import pytest
from bed import PROGRAMS, buildlib, packages, path_without, run

from buildlib.binaries.elf import read
from buildlib.core.targets import TARGETS

ARM64 = ("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu")


def test_a_fresh_clone_ends_with_arm64_binaries(clone):
    built = buildlib("build", "--arch", "arm64", cwd=clone)
    assert built.code == 0, built
    manifest = json.loads((clone / "dist" / "manifest.json").read_text())
    entries = [entry for entry in manifest["binaries"] if entry["arch"] == "arm64"]  # other tests build for others
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


def test_again_without_a_change_nothing_is_compiled_or_written(clone):
    before = (clone / "dist" / "manifest.json").stat().st_ino
    built = buildlib("build", "--arch", "arm64", cwd=clone)
    assert built.code == 0 and "nothing to compile" in built.err and "unchanged" in built.out, built
    assert (clone / "dist" / "manifest.json").stat().st_ino == before  # a rewrite is a new file


def test_invoke_is_the_same_door(clone):
    built = run("invoke", "build", "--arch", "aarch64", "--json", cwd=clone)
    assert built.code == 0, built
    (result,) = json.loads(built.out)
    assert (result["arch"], result["status"], result["code"]) == ("arm64", "unchanged", 0)


def test_verify_reads_dist_back_and_refuses_a_stranger(clone, tmp_path):
    good = buildlib("verify", cwd=clone)
    assert good.code == 0 and "✓" in good.out, good
    strange = clone / "dist" / "arm64" / "stranger"
    strange.write_bytes((clone / "dist" / "arm64" / "cli-command").read_bytes())
    with strange.open("r+b") as stream:
        stream.seek(18)
        stream.write((62).to_bytes(2, "little"))  # e_machine: x86-64
    try:
        bad = buildlib("verify", cwd=clone)
        assert bad.code == 6 and "machine: is 62 (amd64), wanted 183 (arm64)" in bad.out, bad
    finally:
        strange.unlink()


def test_a_changed_file_in_dist_is_found_and_put_right(clone):
    binary = clone / "dist" / "arm64" / "cli-command"
    whole = binary.read_bytes()
    binary.write_bytes(whole + b"\0")
    bad = buildlib("verify", "dist", cwd=clone)
    assert bad.code == 6 and "sha256: is " in bad.out, bad
    assert buildlib("build", "--arch", "arm64", cwd=clone).code == 0
    assert binary.read_bytes() == whole


# --- every architecture -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("libc", ["gnu", "musl"])
def test_every_arch_compiles_and_runs_std(workspace, loong64, libc):
    hello = workspace("hello")
    rows = [row for row in TARGETS.values() if row.is_musl == (libc == "musl")]
    built = buildlib("build", "--arch", ",".join(row.name for row in rows), "--json", cwd=hello, env=loong64)
    assert built.code == 0, built
    results = json.loads(built.out)
    assert [result["arch"] for result in results] == [row.name for row in rows]
    assert all(binary["started"] for result in results for binary in result["binaries"])
    said = {row.name: _said(hello / "dist" / row.name / "hello", row, loong64) for row in rows}
    assert said == {row.name: f"{_rust_arch(row)} squares=14 caught=true root=1.414\n" for row in rows}


def _said(binary, row, loong64):
    prefix = {"loong64": loong64["LIBC"]}.get(row.name, f"/usr/{row.gnu}")
    words = (
        () if row.name.startswith("amd64") else (f"qemu-{row.qemu}-static", *(() if row.is_musl else ("-L", prefix)))
    )
    # A static armv6 binary has to do with what an ARMv6 CPU has; Debian's armhf libc, which the other one uses, has not.
    env = {"QEMU_CPU": "arm1176"} if row.name == "armv6-musl" else {}
    return run(*words, binary, env=loong64 | env).out


def _rust_arch(row):
    names = {
        "amd64": "x86_64 64 little",
        "386": "x86 32 little",
        "s390x": "s390x 64 big",
        "ppc64le": "powerpc64 64 little",
    }
    names |= {"arm64": "aarch64 64 little", "armv7": "arm 32 little", "armv6": "arm 32 little"}
    names |= {"riscv64": "riscv64 64 little", "loong64": "loongarch64 64 little"}
    return names[row.name.removesuffix("-musl")]


# --- C, and what the workspace says itself ------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["zig", "gcc"])
def test_plain_cc_means_the_target_and_build_dependencies_the_host(workspace, qemu, cross_gcc, backend):
    packages("pkg-config")
    app = workspace("plain-cc")
    (app / "only-on-the-host.pc").write_text("Name: x\nDescription: x\nVersion: 1\n")
    env = {"PKG_CONFIG_PATH": str(app)}
    built = buildlib("build", "--arch", "arm64", "--backend", backend, cwd=app, env=env)
    assert built.code == 0, built
    assert run(*ARM64, app / "dist" / "arm64" / "app").out == "aarch64 42 42\n"


def test_a_machine_without_a_c_compiler(workspace, qemu, tmp_path):
    """Build scripts are linked by zig as well; a slim container has nothing else."""
    compilers = re.compile(r"(.*-)?(cc|gcc|g\+\+|c\+\+|clang.*|ld(\..*)?|cpp|c99|c89)(-[\d.]+)?$").fullmatch
    app = workspace("plain-cc")
    for library in ("hostlib", "targetlib"):  # pkg-config is the other test's
        script = app / library / "build.rs"
        script.write_text(re.sub(r"    let found = .*\n    assert.*found.*\n", "", script.read_text()))
    built = buildlib("build", "--arch", "arm64", cwd=app, env=path_without(tmp_path / "tools", compilers))
    assert built.code == 0, built
    assert run(*ARM64, app / "dist" / "arm64" / "app").out == "aarch64 42 42\n"


@pytest.mark.parametrize("backend", ["zig", "gcc"])
def test_cmake_and_bindgen_see_the_target(workspace, qemu, cross_gcc, backend):
    """Four bytes a pointer for cmake's compiler and for libclang, on a machine where both have eight."""
    native = workspace("native")
    built = buildlib("build", "--arch", "armv7", "--backend", backend, cwd=native)
    assert built.code == 0, built
    said = run("qemu-arm-static", "-L", "/usr/arm-linux-gnueabihf", native / "dist" / "armv7" / "native")
    assert said.out == "compiled=4 read=4\n", said


def test_the_workspace_s_own_settings_survive(workspace, qemu):
    project = workspace("settings")
    built = buildlib("build", "--arch", "arm64", "--profile", "small", "--features", "extra", cwd=project)
    assert built.code == 0, built
    said = run(*ARM64, project / "dist" / "arm64" / "settings").out
    assert said == 'from_build=true from_env=Some("yes") extra=true panic=abort\n'


def test_flags_survive_where_a_rustc_of_our_own_makes_it_static(workspace, qemu):
    project = workspace("settings")
    built = buildlib("build", "--arch", "riscv64-musl", cwd=project)
    assert built.code == 0, built
    said = run("qemu-riscv64-static", project / "dist" / "riscv64-musl" / "settings").out
    assert said == 'from_build=true from_env=Some("yes") extra=false panic=unwind\n'


def test_the_workspace_s_own_linker_is_used(workspace, qemu, cross_gcc):
    project = workspace("settings")
    linker = project / "my-linker"
    linker.write_text(f'#!/bin/sh\ntouch "{project}/linked"\nexec aarch64-linux-gnu-gcc "$@"\n')
    linker.chmod(0o755)
    with (project / ".cargo" / "config.toml").open("a") as config:
        config.write(f'[target.aarch64-unknown-linux-gnu]\nlinker = "{linker}"\n')
    built = buildlib("build", "--arch", "arm64", cwd=project)
    assert built.code == 0 and "the workspace links with" in built.err, built
    assert (project / "linked").exists()


@pytest.mark.parametrize("arch", ["arm64", "armv7"])
def test_gcc_links_against_the_libc_it_comes_with(workspace, qemu, cross_gcc, arch):
    hello = workspace("hello")
    built = buildlib("build", "--arch", arch, "--backend", "gcc", "--json", cwd=hello)
    assert built.code == 0, built
    (entry,) = json.loads(built.out)[0]["binaries"]
    assert entry["backend"] == "gcc" and entry["started"] and tuple(map(int, entry["floor"].split("."))) >= (2, 31)
    refused = buildlib("build", "--arch", arch, "--backend", "gcc", "--glibc", "2.17", cwd=hello)
    assert refused.code == 6 and "wanted 2.17 or older" in refused.err, refused


def test_backends_do_not_rebuild_each_other_s(workspace, qemu, cross_gcc):
    hello = workspace("hello")
    for backend in ("zig", "gcc"):
        assert buildlib("build", "--arch", "arm64", "--backend", backend, cwd=hello).code == 0
    for backend in ("zig", "gcc"):
        again = buildlib("build", "--arch", "arm64", "--backend", backend, cwd=hello)
        assert again.code == 0 and "nothing to compile" in again.err, again
