"""The command line that starts a binary with QEMU, and what its exit means."""

import json
from pathlib import Path

import pytest
from machines import sysroot

from buildlib.core.plan import Outcome, Step
from buildlib.core.targets import TARGETS
from buildlib.emulation import qemu

ARM64 = TARGETS["arm64"]
LOADER = "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"


def test_the_native_arch_needs_no_emulator(machine):
    assert qemu.runner(machine(machine="aarch64"), ARM64, static=False) == ()
    assert qemu.runner(machine(machine="x86_64"), TARGETS["amd64-musl"], static=True) == ()


def test_qemu_gets_the_libraries_of_the_target(machine):
    host = machine(tools=["qemu-aarch64", "qemu-aarch64-static"], files=[LOADER])
    assert qemu.runner(host, ARM64, static=False) == (
        "/usr/bin/qemu-aarch64-static",
        "-L",
        "/usr/aarch64-linux-gnu",
    )
    assert qemu.runner(host, ARM64, static=True) == ("/usr/bin/qemu-aarch64-static",)


def test_libraries_in_the_cache_or_in_qemu_ld_prefix(machine):
    cached = machine(tools=["qemu-aarch64"], files=["/cache/libc/arm64/lib/ld-linux-aarch64.so.1"])
    assert qemu.runner(cached, ARM64, static=False)[1:] == ("-L", "/cache/libc/arm64")
    own = machine(
        tools=["qemu-aarch64"], files=["/own/lib/ld-linux-aarch64.so.1", LOADER], env={"QEMU_LD_PREFIX": "/own"}
    )
    assert qemu.runner(own, ARM64, static=False)[1:] == ("-L", "/own")


def test_without_qemu_or_libraries_nothing_can_start_a_binary(machine):
    assert qemu.runner(machine(), ARM64, static=True) is None
    assert qemu.runner(machine(tools=["qemu-aarch64"]), ARM64, static=False) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            "qemu-loongarch64 version 7.2.22 (Debian)",
            "QEMU 7.2 is too old for loong64: 8.1 is the first version that runs it",
        ),
        ("qemu-loongarch64 version 8.1.0", ""),
        ("version 10.0.1", ""),
        ("", ""),
    ],
)
def test_a_qemu_that_is_too_old_for_a_target(answer, reason):
    assert qemu.too_old(answer, TARGETS["loong64"]) == reason


@pytest.mark.parametrize(
    ("answer", "number"), [("qemu-arm version 7.2.22 (Debian 1:7.2)", "7.2.22"), ("version 8.1", "8.1"), ("", "")]
)
def test_the_version_in_the_answer_of_qemu(answer, number):
    assert qemu.version_of(answer) == number


@pytest.mark.parametrize(
    ("code", "output", "problem"),
    [
        (0, "", ""),
        (2, "error: unexpected argument '--version'", ""),
        (1, "no configuration", ""),
        (124, "", ""),
        (127, "x: error while loading shared libraries: libssl.so.3: cannot open", ""),
        (127, "qemu-arm: Could not open '/lib/ld-linux-armhf.so.3'",
         "exited with code 127 when started with --help: qemu-arm: Could not open '/lib/ld-linux-armhf.so.3'"),
        (126, "cannot execute binary file: Exec format error",
         "exited with code 126 when started with --help: cannot execute binary file: Exec format error"),
        (132, "qemu: uncaught target signal 4 (Illegal instruction) - core dumped",
         "crashed when started with --help: qemu: uncaught target signal 4 (Illegal instruction) - core dumped"),
        (139, "", "crashed when started with --help: signal 11"),
        (134, "\nthread 'main' panicked at src/main.rs:3:5:\nno clock\nnote: run with `RUST_BACKTRACE=1` environment variable\n"
              "qemu: uncaught target signal 6 (Aborted) - core dumped\n",
         "crashed when started with --help: no clock; qemu: uncaught target signal 6 (Aborted) - core dumped"),
    ],
)  # fmt: skip
def test_a_crash_is_distinguished_from_a_program_that_rejects_the_flag(code, output, problem):
    outcome = Outcome(step=Step(title="", argv=("x",)), code=code, seconds=0, output=output)
    assert qemu.start_problem(outcome, "--help") == problem


@pytest.mark.parametrize(
    ("facts", "name", "mismatch"),
    [
        ({"arch": "aarch64", "machine": "aarch64"}, "arm64", ""),
        ({"arch": "aarch64", "machine": "aarch64"}, "arm64-musl", ""),
        ({"arch": "arm", "machine": "armv7l"}, "armv6", ""),
        (
            {"arch": "arm", "machine": "x86_64"},
            "armv7",
            "the tests run on x86_64, which is this machine, expected armv7",
        ),
        ({"arch": "aarch64", "machine": "riscv64"}, "arm64", "the tests run on riscv64, expected arm64"),
        ({"arch": "x86_64", "machine": "aarch64"}, "arm64", "the tests are compiled for x86_64, expected aarch64"),
    ],
)
def test_what_a_probe_shows(machine, facts, name, mismatch):
    assert qemu.probe_mismatch(facts, machine(machine="x86_64"), TARGETS[name]) == mismatch


def test_the_libraries_of_a_sysroot_are_those_of_qemu(machine):
    host = machine(
        tools=["qemu-aarch64"], files=[LOADER, "/s/lib/ld-linux-aarch64.so.1"], sysroots={"arm64": sysroot()}
    )
    assert qemu.runner(host, ARM64, static=False) == ("/usr/bin/qemu-aarch64", "-L", "/s")


@pytest.mark.parametrize(
    ("facts", "words", "files", "expected"),
    [
        ({"machine": "aarch64"}, (), [], ["/s/shared"]),
        ({"machine": "aarch64"}, ("/q/qemu-aarch64", "-cpu", "x"), [], ["/s/shared"]),
        ({}, ("/q/qemu-aarch64", "-L", "/s"), [], []),
        ({}, ("/q/qemu-aarch64", "-L", "/l"), ["/d/app.libs"], ["/d/app.libs"]),
        ({"env": {"LD_LIBRARY_PATH": "/own:x"}}, (), ["/d/app.libs"], ["/d/app.libs", "/own"]),
    ],
)
def test_a_program_finds_the_libraries_beside_it_and_those_of_this_machine_s_sysroot(
    machine, facts, words, files, expected
):
    host = machine(files=files, sysroots={"arm64": sysroot()}, **facts)
    step = qemu.start(host, words, Path("/d/app"), "--version", Path("/t"))
    spec = json.loads(step.argv[3])
    assert (spec["libraries"], step.env) == (expected, {})
    assert spec["files"][0] == ("/s" if "/s/shared" in expected else "/d/app")


@pytest.mark.parametrize(
    ("code", "output", "reason"),
    [
        (127, "x: error while loading shared libraries: libssl.so.3: cannot open", "libssl.so.3: cannot open"),
        (
            1,
            "./x: /lib/libc.so.6: version `GLIBC_2.38' not found (required by ./x)",
            "version `GLIBC_2.38' not found (required by ./x)",
        ),
        (1, "usage: x", ""),
        (0, "x: error while loading shared libraries: none, says a program", ""),
    ],
)
def test_why_libraries_are_not_loaded(code, output, reason):
    step = Step(title="t", argv=("x",))
    assert qemu.not_loaded(Outcome(step=step, code=code, seconds=0, output=output)) == reason
