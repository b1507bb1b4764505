"""The oldest CPU and the largest pages of an arch, and what QEMU says about a program that needs more."""

from pathlib import Path

import pytest

from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.core.plan import Outcome, Step
from buildlib.core.targets import TARGETS
from buildlib.emulation import baseline
from buildlib.emulation.baseline import Baseline

ARM64, AMD64, MUSL = TARGETS["arm64"], TARGETS["amd64"], TARGETS["arm64-musl"]
LIBC = "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"


@pytest.mark.parametrize(
    ("target", "cpus", "page_size", "expected"),
    [
        ("arm64", {}, 65536, Baseline(cpu="cortex-a53", page_size=65536)),
        ("arm64-musl", {}, 16384, Baseline(cpu="cortex-a53", page_size=16384)),
        ("arm64", {"arm64": "max"}, 4096, Baseline(cpu="max")),
        ("amd64-musl", {"amd64": "Nehalem"}, 65536, Baseline(cpu="Nehalem")),
        ("armv7", {"arm64": "max"}, 65536, Baseline(cpu="cortex-a9,neon=off")),
        ("riscv64", {}, 65536, Baseline(cpu="sifive-u54")),
        ("s390x", {}, 65536, None),
    ],
)
def test_the_baseline_is_the_arch_s_or_the_configured_one(target, cpus, page_size, expected):
    assert baseline.configured(TARGETS[target], cpus, page_size) == expected


def test_pages_are_words_of_qemu_and_of_people():
    large = Baseline(cpu="max", page_size=65536)
    assert (large.page_flags, large.pages) == (("-R", "274877906944", "-p", "65536"), "64 KiB")
    assert Baseline(cpu="max").page_flags == ()


def test_a_native_program_has_a_runner_too(machine):
    old = Baseline(cpu="old")
    arm, amd = machine(tools=["qemu-aarch64-static"], files=[LIBC]), machine(tools=["qemu-x86_64-static"])
    arm_words = ("/usr/bin/qemu-aarch64-static", "-cpu", "old")
    assert baseline.runner(arm, ARM64, old, static=False) == (*arm_words, "-L", "/usr/aarch64-linux-gnu")
    assert baseline.runner(arm, MUSL, old, static=True) == arm_words
    assert baseline.runner(amd, AMD64, old, static=False) == ("/usr/bin/qemu-x86_64-static", "-cpu", "old")
    assert baseline.runner(machine(), ARM64, old, static=True) is None
    assert baseline.runner(machine(tools=["qemu-aarch64-static"]), ARM64, old, static=False) is None


def test_tests_run_on_the_oldest_cpu_or_a_named_one(machine):
    arm, amd = machine(tools=["qemu-aarch64-static"], files=[LIBC]), machine(tools=["qemu-x86_64-static"])
    words = ("/usr/bin/qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu")
    assert baseline.for_tests(arm, ARM64, {}, "") == (words, "")
    assert baseline.for_tests(arm, ARM64, {}, "baseline") == (words, "cortex-a53")
    assert baseline.for_tests(arm, ARM64, {"arm64": "cortex-a72"}, "baseline") == (words, "cortex-a72")
    assert baseline.for_tests(arm, ARM64, {}, "max") == (words, "max")
    assert baseline.for_tests(amd, AMD64, {}, "") == ((), "")
    assert baseline.for_tests(amd, AMD64, {}, "baseline") == (("/usr/bin/qemu-x86_64-static",), AMD64.cpu)
    with pytest.raises(MissingRequirements, match="no QEMU for amd64, which --cpu needs"):
        baseline.for_tests(machine(), AMD64, {}, "baseline")
    with pytest.raises(UsageError, match="the oldest CPU of s390x is not known"):
        baseline.for_tests(machine(tools=["qemu-s390x"]), TARGETS["s390x"], {}, "baseline")


def outcome(code, output):
    return Outcome(step=Step(title="", argv=("x",)), code=code, seconds=0, output=output)


@pytest.mark.parametrize(
    ("code", "output", "reason"),
    [
        (1, "qemu-arm: unable to find CPU model 'x'\n", "unable to find CPU model 'x'"),
        (1, "qemu-arm: warning: no pcid\nqemu-arm: Property 'x' not found\n", "Property 'x' not found"),
        (1, "usage: app [qemu-arm: x]\n", ""),
        (0, "qemu-arm: warning: no pcid\n", ""),
        (132, "qemu: uncaught target signal 4 (Illegal instruction)\n", ""),
    ],
)
def test_an_unknown_cpu_is_told_from_a_program_that_fails(code, output, reason):
    assert baseline.rejection(outcome(code, output), ("/usr/bin/qemu-arm", "-cpu", "x")) == reason


# Excerpts of QEMU 7.2's -d in_asm.
AMD64_TRACE = """
----------------
IN: _ZN1a4main17h1854dee5fd9945b4E
0x40000152d0:  64 48 89 0b              movq     %rcx, %fs:(%rbx)
0x40000152d4:  c5 fc 10 05 fc 0e 04 00  vmovups  0x40efc(%rip), %ymm0

qemu: uncaught target signal 4 (Illegal instruction) - core dumped
"""
ARM64_TRACE = "IN: f\n0x550002651c:  f8f70288  .byte    0x88, 0x02, 0xf7, 0xf8\n"
RISCV64_TRACE = "IN: \n0x000000400001a876:  02059513          slli                    a0,a1,32\n"


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (AMD64_TRACE, "vmovups 0x40efc(%rip), %ymm0 in _ZN1a4main17h1854dee5fd9945b4E"),
        (ARM64_TRACE, ".byte 0x88, 0x02, 0xf7, 0xf8 in f"),
        (RISCV64_TRACE, "slli a0,a1,32"),
        ("IN: f\napp 1.0\n", ""),
        ("", ""),
    ],
)
def test_the_last_instruction_is_the_one_that_failed(trace, expected):
    assert baseline.last_instruction(trace) == expected


def test_the_probe_is_a_program_for_arm64(tmp_path):
    from buildlib import elf

    (tmp_path / "probe").write_bytes(baseline.PAGE_PROBE)
    assert elf.check(elf.read(Path(tmp_path / "probe")), MUSL, "") == ()
