"""Programs that cargo's configuration names."""

from pathlib import Path

import pytest
from machines import AMD64, ARM64, WITH_ZIG

from buildlib.core.requirements import describe, missing
from buildlib.machine import cargo_config
from buildlib.rust import configured_programs
from buildlib.rust.backends.cross import Cross
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.backends.zig import Zig

ZIG, GCC = Zig(why="", minimum_glibc="2.31"), Gcc(why="", minimum_glibc="", gcc="/usr/bin/cc")
HOST, FILE = AMD64.triple, Path("/w/.cargo/config.toml")


@pytest.fixture
def host(machine):
    def host(table, tools=("cc",), **env):
        config = cargo_config.resolve([(FILE, table)], env, Path("/w"))
        return machine(tools=tools, cargo_config=config, **WITH_ZIG)

    return host


def linker(name, key=HOST):
    return {"target": {key: {"linker": name}}}


def absent(host, chosen, *, has_scripts=True):
    return missing(configured_programs.requirements(host, chosen, HOST, lambda: has_scripts), host)


def test_a_linker_with_a_path_is_a_requirement_of_builds_with_scripts(host):
    acme = host(linker("/opt/acme/clang"))
    (requirement,) = absent(acme, {ARM64: ZIG})
    assert requirement.required
    assert describe([requirement]) == (
        "  /opt/acme/clang (build scripts and procedural macros are linked with it: target.x86_64-unknown-linux-gnu.linker in"
        " /w/.cargo/config.toml): set CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=cc (this machine's compiler) or install"
        " /opt/acme/clang"
    )
    assert absent(acme, {ARM64: ZIG}, has_scripts=False) == ()
    assert configured_programs.stand_in(acme, ARM64, ZIG, HOST) is None


def test_a_name_is_a_preference_and_replaced(host):
    clang = host(linker("clang"))
    (requirement,) = absent(clang, {ARM64: ZIG})
    assert (requirement.what, requirement.required, requirement.fixes[0].text) == (
        "clang",
        False,
        "apt-get install clang",
    )
    # The message is "no clang: cannot ...".
    assert requirement.why == (
        "link build scripts with it, as target.x86_64-unknown-linux-gnu.linker in /w/.cargo/config.toml says (cc does instead)"
    )
    assert configured_programs.stand_in(clang, ARM64, ZIG, HOST) == "/usr/bin/cc"
    assert absent(host(linker("clang"), tools=["cc", "clang"]), {ARM64: ZIG}) == ()
    # Without any compiler zig links build scripts; the gcc backend has nothing.
    bare = host(linker("clang"), tools=())
    assert configured_programs.stand_in(bare, ARM64, ZIG, HOST) == "cc"
    assert [one.required for one in absent(bare, {ARM64: GCC})] == [True]


def test_a_linker_that_no_build_script_is_linked_with_is_no_requirement(host):
    acme = host(linker("/opt/acme/clang"))
    assert absent(acme, {AMD64: ZIG}) == () == absent(acme, {AMD64: GCC})
    assert absent(acme, {ARM64: Cross(why="", minimum_glibc="")}) == ()
    # cargo reads a cfg table also with target-applies-to-host = false, and no variable can replace it then.
    (requirement,) = absent(host(linker("clang", "cfg(unix)")), {AMD64: ZIG})
    assert requirement.required


def test_the_linkers_of_flags_are_for_gcc(host):
    table = {"build": {"rustflags": ["-C", "link-arg=-fuse-ld=mold", "-Clink-arg=-fuse-ld=lld"]}}
    assert [one.what for one in absent(host(table), {ARM64: GCC})] == ["mold", "lld"]
    assert [one.what for one in absent(host(table, tools=["ld.lld", "mold"]), {ARM64: GCC})] == []
    assert absent(host(table), {ARM64: ZIG}) == ()
    (path,) = absent(host({"build": {"rustflags": ["-Clink-arg=-fuse-ld=/opt/mold"]}}), {ARM64: GCC})
    assert (
        describe([path])
        == "  /opt/mold (arm64 is linked with it: build.rustflags in /w/.cargo/config.toml): install /opt/mold"
    )


def test_wrappers_of_rustc(host):
    table = {"build": {"rustc-wrapper": "sccache", "rustc-workspace-wrapper": "clippy"}}
    assert describe(absent(host(table), {AMD64: ZIG})).splitlines() == [
        "  sccache (rustc is started through it: build.rustc-wrapper in /w/.cargo/config.toml): set RUSTC_WRAPPER= (empty) to"
        " build without it or apt-get install sccache",
        "  clippy (rustc is started through it: build.rustc-workspace-wrapper in /w/.cargo/config.toml): set"
        " RUSTC_WORKSPACE_WRAPPER= (empty) to build without it or install clippy",
    ]
    assert absent(host(table, tools=["sccache", "clippy"]), {AMD64: ZIG}) == ()
    assert absent(host(table, RUSTC_WRAPPER="", RUSTC_WORKSPACE_WRAPPER=""), {AMD64: ZIG}) == ()
