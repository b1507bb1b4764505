from dataclasses import replace
from pathlib import Path

import pytest
from machines import Machine

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Install, Link, Step, Write
from buildlib.core.targets import TARGETS
from buildlib.machine.rust_toolchains import Pin
from buildlib.rust import std
from buildlib.rust.std import Compiler

ARM64, MUSL = TARGETS["arm64"], TARGETS["riscv64-musl"]
PIN = Pin(channel="1.80.0", file=Path("/w/rust-toolchain.toml"))


def names(host, target=ARM64):
    return [source.job.name for source in std.sources(host, target)]


def test_an_installed_std_is_used_even_if_only_the_second_candidate_has_it(machine, rustup, system):
    complete = replace(system, stds=system.stds | {ARM64.triple})
    assert std.installed(machine(toolchains=(rustup, system)), ARM64) is None
    assert std.installed(machine(toolchains=(rustup, complete)), ARM64) == Compiler(toolchain=complete)


def test_a_std_that_buildlib_has_compiled_is_used_with_its_sysroot(machine, system):
    complete = replace(system, managed=frozenset({ARM64.triple}))
    assert std.installed(machine(toolchains=(complete,)), ARM64) == Compiler(
        toolchain=complete, sysroot=complete.managed_root
    )


def test_the_sources_of_std_in_order(machine, rustup, system):
    host = machine(tools=["rustup"], toolchains=(rustup, system))
    assert [(source.job.name, source.network) for source in std.sources(host, ARM64)] == [
        ("std for arm64 from rustup", True),
        ("sources of rustc 1.95.0 (rustup)", True),
        ("std for arm64 from source", False),
    ]


def test_without_rustup_std_can_only_be_compiled(machine, rustup, system):
    assert names(machine(toolchains=(rustup, system))) == ["std for arm64 from source"]
    assert names(machine(toolchains=(replace(system, sources=None),))) == []


def test_rustup_adds_the_target_to_the_same_toolchain(machine, rustup):
    source = std.sources(machine(tools=["rustup"], toolchains=(rustup,)), ARM64)[0]
    (step,) = source.job.steps
    assert step.argv == ("/usr/bin/rustup", "target", "add", ARM64.triple, "--toolchain", "stable")


def test_the_whole_job_that_compiles_std(system):
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
    assert rustc.text.splitlines()[-1] == (
        "exec /usr/bin/rustc --remap-path-prefix /usr/lib/rustlib/src/rust=/rustc/ac68faa20c58"
        f' --remap-path-prefix {root}/lib/rustlib/src/rust=/rustc/ac68faa20c58 --remap-path-prefix {scratch}=/std "$@"'
    )


def test_gnu_targets_need_no_start_up_objects(system):
    assert std.build_std(system, ARM64, system.sources).steps[-1].empty == ()


def test_vendored_sources_are_compiled_without_a_network(system):
    job = std.build_std(replace(system, vendored=True), ARM64, system.sources)
    step = next(step for step in job.steps if isinstance(step, Step))
    assert step.argv[5:10] == (
        "--offline", "--config", 'source.crates-io.replace-with="vendored"',
        "--config", 'source.vendored.directory="/usr/lib/rustlib/src/rust/library/vendor"',
    )  # fmt: skip


def test_the_wrapper_of_rustc_keeps_variables_with_a_dash(system):
    """cargo sets CARGO_BIN_EXE_cli-command for integration tests; dash would drop it."""
    text = std.rustc_wrapper(Machine(["bash"]), Compiler(toolchain=system, sysroot=Path("/s")), TARGETS["arm64"])
    assert text == '#!/usr/bin/bash\nexec /usr/bin/rustc --sysroot /s "$@"\n'


def test_the_wrapper_trims_paths_before_the_flags_of_the_user(system):
    compiler, trims = Compiler(toolchain=system), (("/home/a b", "/src"), ("/t", "/target"))
    text = std.rustc_wrapper(Machine(["bash"]), compiler, ARM64, trims)
    flags = "--remap-path-prefix '/home/a b=/src' --remap-path-prefix /t=/target"
    assert text == f'#!/usr/bin/bash\nexec /usr/bin/rustc {flags} "$@"\n'
    assert std.rustc_wrapper(Machine(), compiler, ARM64, trims) is None  # dash would drop CARGO_BIN_EXE_cli-command


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
def test_rustc_is_wrapped_only_where_it_is_necessary(system, target, sysroot, text):
    assert std.rustc_wrapper(Machine(), Compiler(toolchain=system, sysroot=sysroot), TARGETS[target]) == text


# --- pins ------------------------------------------------------------------------------------------------------------------------


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
def test_a_rustc_from_elsewhere_satisfies_a_pin_only_with_the_pinned_release(system, channel, allowed):
    assert replace(PIN, channel=channel).allows(system) is allowed


def test_rustup_resolves_pins_by_itself(rustup):
    assert PIN.allows(rustup)


def test_a_pin_by_directory_keeps_other_compilers_out(machine, rustup, system):
    """Also one that has the target's std."""
    pin = Pin(file=PIN.file, folder=Path("/opt/fork"))
    fork = replace(system, sysroot=Path("/opt/fork"), release="1.99.0-dev")
    complete = replace(system, stds=system.stds | {ARM64.triple})
    host = machine(tools=["rustup"], toolchains=(fork, complete), pin=pin)
    assert (std.candidates(host), std.installed(host, ARM64)) == ((fork,), None)
    assert "(rustc 1.99.0-dev (system))" in std.unavailable(host, (ARM64,)).message
    named = replace(complete, origin="RUSTC")
    assert [pin.allows(toolchain) for toolchain in (rustup, named, complete)] == [True, True, False]
    alone = machine(tools=["rustup"], toolchains=(complete,), pin=pin)
    assert std.sources(alone, ARM64) == ()  # rustup cannot install it
    error = std.unavailable(alone, (ARM64,))
    assert (error.message, error.help) == (
        "/w/rust-toolchain.toml pins the toolchain /opt/fork, which is not installed", "set RUSTC to /opt/fork/bin/rustc",
    )  # fmt: skip


def test_rustup_installs_a_pinned_toolchain_that_is_missing(machine, system):
    host = machine(tools=["rustup"], toolchains=(system,), pin=PIN)
    assert names(host) == ["Rust 1.80.0 from rustup"]
    (step,) = std.sources(host, ARM64)[0].job.steps
    assert step.argv == (
        "/usr/bin/rustup", "toolchain", "install", "1.80.0", "--profile", "minimal", "--target", ARM64.triple,
    )  # fmt: skip


def test_a_pinned_toolchain_that_is_not_available_is_one_error(machine, system):
    error = std.unavailable(machine(toolchains=(system,), pin=PIN), (ARM64,))
    assert isinstance(error, MissingRequirements) and error.code == 4
    assert error.message == "/w/rust-toolchain.toml pins Rust 1.80.0, which is not installed"
    assert error.help == (
        "rustup toolchain install 1.80.0 --target aarch64-unknown-linux-gnu; or set RUSTC to another compiler"
    )


def test_the_error_names_every_target_without_a_std_and_what_helps(machine, rustup):
    error = std.unavailable(machine(toolchains=(rustup,)), (ARM64, MUSL))
    assert error.message == "no Rust standard library for arm64, riscv64-musl (rustc 1.95.0 (rustup))"
    assert error.help == "`rustup target add aarch64-unknown-linux-gnu` or `buildlib setup`"
