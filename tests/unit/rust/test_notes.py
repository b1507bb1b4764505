"""What is said once about configuration that a build does not use."""

from pathlib import Path

import pytest
from machines import AMD64, ARM64, WITH_ZIG, Recorder, context

from buildlib.core.targets import TARGETS
from buildlib.machine import cargo_config
from buildlib.rust import notes
from buildlib.rust.backends.cross import Cross
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.backends.zig import Zig

ZIG, GCC, RISCV64 = Zig(why="", minimum_glibc="2.31"), Gcc(why="", minimum_glibc=""), TARGETS["riscv64"]


@pytest.fixture
def at(machine, rustup, tmp_path):
    """A context with this configuration of cargo's, these variables and this Cargo.lock."""

    def at(table=None, lock="", **env):
        config = cargo_config.resolve([(Path("/w/.cargo/config.toml"), table or {})], env, Path("/w"))
        (tmp_path / "Cargo.lock").write_text(lock)
        host = machine(tools=["pkg-config"], toolchains=(rustup,), env=env, cargo_config=config, **WITH_ZIG)
        return context(host, Recorder(), root=tmp_path)

    return at


def test_an_option_that_is_left_out_is_named_once_for_all_targets(at):
    context = at({"build": {"rustflags": ["-Ctarget-cpu=native", "-C", "link-arg=-fuse-ld=mold"]}})
    chosen = {AMD64: ZIG, ARM64: ZIG, RISCV64: GCC}
    where = "(build.rustflags in /w/.cargo/config.toml)"
    assert list(notes.notes(context, chosen)) == [
        f"arm64, riscv64: target-cpu=native {where} means the CPU of this machine: left out",
        f"amd64, arm64: -fuse-ld=mold {where} has no effect: zig links",
    ]
    assert list(notes.warnings(context.host, chosen)) == [
        f"amd64: target-cpu=native {where} compiles for the CPU of this machine: on an older one the binaries crash"
    ]
    cross = {ARM64: Cross(why="", minimum_glibc="")}
    assert list(notes.notes(context, cross)) == [] == list(notes.warnings(context.host, cross))


def test_a_search_path_for_this_machine_is_not_the_target_s(at):
    lock, path = 'name = "pkg-config"\n', "/w/pc:/usr/lib/aarch64-linux-gnu/pkgconfig"
    text = (
        "arm64: PKG_CONFIG_PATH (/w/pc) is for this machine's libraries and not read; PKG_CONFIG_PATH_aarch64_unknown_linux_gnu"
        " is, for those of arm64"
    )
    assert list(notes.notes(at(lock=lock, PKG_CONFIG_PATH=path), {ARM64: ZIG, AMD64: ZIG})) == [text]
    assert list(notes.notes(at(PKG_CONFIG_PATH=path), {ARM64: ZIG})) == [text]  # without a lock file nothing is known
    assert list(notes.notes(at(lock='name = "serde"\n', PKG_CONFIG_PATH=path), {ARM64: ZIG})) == []
    own = at(lock=lock, PKG_CONFIG_PATH=path, PKG_CONFIG_PATH_aarch64_unknown_linux_gnu="/a")
    assert list(notes.notes(own, {ARM64: ZIG})) == []


def test_a_configuration_that_is_used_as_it_is_needs_no_words(at):
    assert list(notes.notes(at({"build": {"rustflags": ["--cfg", "x"]}}), {ARM64: ZIG, AMD64: GCC})) == []
