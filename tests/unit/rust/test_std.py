from dataclasses import replace
from pathlib import Path

import pytest

from buildlib.rust import std
from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Install, Link, Step, Write
from buildlib.machine.rust_toolchains import Pin
from buildlib.core.targets import TARGETS
from buildlib.rust.std import Compiler

ARM64, MUSL = TARGETS["arm64"], TARGETS["riscv64-musl"]
PIN = Pin(channel="1.80.0", file=Path("/w/rust-toolchain.toml"))


def names(host, target=ARM64):
    return [rung.job.name for rung in std.rungs(host, target)]


def test_what_is_installed_comes_first_even_from_the_second_candidate(machine, rustup, system):
    have = replace(system, stds=system.stds | {ARM64.triple})
    assert std.ready(machine(toolchains=(rustup, system)), ARM64) is None
    assert std.ready(machine(toolchains=(rustup, have)), ARM64) == Compiler(toolchain=have)


def test_a_managed_std_brings_its_sysroot(machine, system):
    have = replace(system, managed=frozenset({ARM64.triple}))
    assert std.ready(machine(toolchains=(have,)), ARM64) == Compiler(toolchain=have, sysroot=have.managed_root)


def test_the_ladder_in_order(machine, rustup, system):
    host = machine(tools=["rustup"], toolchains=(rustup, system))
    assert names(host) == [
        "std for arm64 from rustup",
        "sources of rustc 1.95.0 (rustup)",
        "std for arm64 from source",
    ]
    assert [rung.network for rung in std.rungs(host, ARM64)] == [True, True, False]


def test_without_rustup_only_sources_are_left(machine, rustup, system):
    assert names(machine(toolchains=(rustup, system))) == ["std for arm64 from source"]
    assert names(machine(toolchains=(replace(system, sources=None),))) == []


def test_rustup_adds_to_the_very_toolchain(machine, rustup):
    rung = std.rungs(machine(tools=["rustup"], toolchains=(rustup,)), ARM64)[0]
    (step,) = rung.job.steps
    assert step.argv == ("/usr/bin/rustup", "target", "add", ARM64.triple, "--toolchain", "stable")


def test_std_from_source_as_a_whole(system):
    job = std.build_std(system, MUSL, system.sources)
    root = Path("/cache/sysroots/1.96.0-ac68faa20-std1")
    scratch, lib = root / "build-riscv64gc-unknown-linux-musl", root / "lib/rustlib/riscv64gc-unknown-linux-musl/lib"
    assert (job.lock, job.done, job.scratch) == (root, lib, scratch)
    step = next(step for step in job.steps if isinstance(step, Step))
    assert step.argv == (
        "/usr/bin/cargo", "build", "--release", "--target", "riscv64gc-unknown-linux-musl",
        "-Zbuild-std=std,panic_abort,panic_unwind,test", "--target-dir", str(scratch / "target"),
    )  # fmt: skip
    assert step.env == {
        "RUSTC": str(scratch / "rustc"),
        "RUSTC_BOOTSTRAP": "1",
        "CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_MUSL_RUSTFLAGS": "-Cembed-bitcode=yes",
    }
    assert "CARGO_PROFILE_*" in step.unset and "RUSTFLAGS" in step.unset
    install = job.steps[-1]
    assert isinstance(install, Install) and "self-contained/crt1.o" in install.empty
    links = {step.path.name: step.to for step in job.steps if isinstance(step, Link)}
    assert links["x86_64-unknown-linux-gnu"] == Path("/usr/lib/rustlib/x86_64-unknown-linux-gnu")
    rustc = next(step for step in job.steps if isinstance(step, Write) and step.mode == 0o755)
    assert '--crate-name panic_abort "*) set -- "$@" -C panic=abort' in rustc.text


def test_gnu_needs_no_start_up_objects(system):
    assert std.build_std(system, ARM64, system.sources).steps[-1].empty == ()


def test_vendored_sources_need_no_network(system):
    job = std.build_std(replace(system, vendored=True), ARM64, system.sources)
    step = next(step for step in job.steps if isinstance(step, Step))
    assert step.argv[5:10] == (
        "--offline", "--config", 'source.crates-io.replace-with="vendored"',
        "--config", 'source.vendored.directory="/usr/lib/rustlib/src/rust/library/vendor"',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "sysroot", "text"),
    [
        ("arm64", None, None),
        ("arm64", Path("/s r"), "#!/bin/sh\nexec /usr/bin/rustc --sysroot '/s r' \"$@\"\n"),
        (
            "arm64-musl",
            None,
            "#!/bin/sh\ncase \" $* \" in *' --target aarch64-unknown-linux-musl '*)"
            ' set -- -Ctarget-feature=+crt-static "$@" ;; esac\nexec /usr/bin/rustc "$@"\n',
        ),
    ],
)
def test_a_rustc_of_our_own_only_where_it_must_be(system, target, sysroot, text):
    assert std.rustc_wrapper(Compiler(toolchain=system, sysroot=sysroot), TARGETS[target]) == text


# --- pins -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "allowed"),
    [
        ("stable", True),
        ("1.96", True),
        ("1.96.0", True),
        ("1.9", False),
        ("1.95", False),
        ("nightly", False),
        ("beta", False),
    ],
)
def test_another_rustc_meets_a_pin_only_with_the_release_it_names(system, channel, allowed):
    assert replace(PIN, channel=channel).allows(system) is allowed


def test_rustup_resolves_its_own_pins(rustup):
    assert PIN.allows(rustup)


def test_a_pin_that_is_not_installed_is_asked_of_rustup(machine, system):
    host = machine(tools=["rustup"], toolchains=(system,), pin=PIN)
    assert names(host) == ["Rust 1.80.0 from rustup"]
    (step,) = std.rungs(host, ARM64)[0].job.steps
    assert step.argv == (
        "/usr/bin/rustup", "toolchain", "install", "1.80.0", "--profile", "minimal", "--target", ARM64.triple,
    )  # fmt: skip


def test_a_pin_that_cannot_be_had_is_one_line(machine, system):
    error = std.lacking(machine(toolchains=(system,), pin=PIN), (ARM64,))
    assert isinstance(error, MissingRequirements) and error.code == 4
    assert error.message == "/w/rust-toolchain.toml pins Rust 1.80.0, which is not to be had here"


def test_out_of_reach_names_every_target_and_the_cures(machine, rustup):
    error = std.lacking(machine(toolchains=(rustup,)), (ARM64, MUSL))
    assert error.message == "no Rust standard library for arm64, riscv64-musl (rustc 1.95.0 (rustup))"
    assert error.help == "`rustup target add aarch64-unknown-linux-gnu` or `buildlib setup`"
