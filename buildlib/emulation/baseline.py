"""The oldest CPU that an arch promises, and the largest pages of its kernels: what QEMU shows a program in place of the newest CPU."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.core.plan import Outcome
from buildlib.core.targets import SMALLEST_PAGE, Target
from buildlib.emulation import qemu
from buildlib.emulation.exit_stub import elf_program
from buildlib.machine.host import Host

NOT_CHECKED, BASELINE = "not checked", "baseline"
SIGILL = 128 + 4  # the exit code of a program that the signal killed
TRACE = ("-d", "in_asm")  # prints each block of instructions before it runs
TRACE_SIZE = 64 << 20  # bytes; a program that prints its version has about one million
# Bytes of address space that QEMU reserves and divides itself. Without them QEMU 7.2 asks the kernel, which knows only its own pages
# of 4 KiB, and gives up when the answers are not aligned: an allocation failed in 4 of 100 starts of a program with musl.
RESERVED = 1 << 38
# A program that exits with the size of a page in units of SMALLEST_PAGE: AT_PAGESZ (6) in the auxiliary vector. QEMU's `-p` has no
# effect since version 9, and only a program finds that out.
PAGE_PROBE = elf_program("aarch64", bytes.fromhex(
    "e10340f9 e2430091 420c018b"  # x1 = argc; x2 = envp
    "438440f8 e3ffffb5"  # do x3 = *x2++ while (x3 != 0)
    "4310c1a8 7f1800f1 60000054 a3ffffb5"  # do x3, x4 = *x2++ until (x3 == 6 or x3 == 0)
    "040080d2 80fc4cd3 a80b80d2 010000d4"  # if it is 0: x4 = 0; exit(x4 >> 12)
))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What programs of a target have to start on: a CPU as QEMU names it, and a page size in bytes, SMALLEST_PAGE for any."""

    cpu: str
    page_size: int = SMALLEST_PAGE

    @property
    def page_flags(self) -> tuple[str, ...]:
        """QEMU's words for the pages, () if the arch has only one size."""
        return ("-R", str(RESERVED), "-p", str(self.page_size)) if self.page_size > SMALLEST_PAGE else ()

    @property
    def pages(self) -> str:
        """The page size in words."""
        return f"{self.page_size >> 10} KiB"


def configured(target: Target, cpus: Mapping[str, str], page_size: int) -> Baseline | None:
    """The baseline of a target, None without one. `cpus` and `page_size` are the settings."""
    arch = target.arch
    cpu = cpus.get(arch) or target.cpu
    return Baseline(cpu=cpu, page_size=min(target.page_size, page_size)) if cpu else None


def runner(host: Host, target: Target, baseline: Baseline, *, static: bool) -> tuple[str, ...] | None:
    """The words before a binary that start it on the CPU, None if this machine cannot; with QEMU also a native one."""
    emulator = qemu.qemu(host, target)
    if not emulator:
        return None
    if static or qemu.is_native(host, target):
        return (emulator, "-cpu", baseline.cpu)
    folder = qemu.libraries(host, target)
    return (emulator, "-cpu", baseline.cpu, "-L", str(folder)) if folder else None


def for_tests(host: Host, target: Target, cpus: Mapping[str, str], cpu: str) -> tuple[tuple[str, ...], str]:
    """The words before a test program, and the CPU for QEMU_CPU, which child processes inherit; "" for QEMU's own or this machine's.

    `cpu` is BASELINE for the arch's oldest, another name that QEMU knows, or "".

    Raises:
        MissingRequirements: this machine has no QEMU for the target, which is its own.
        UsageError: the oldest CPU of the arch is unknown.
    """
    words = qemu.runner(host, target, static=target.is_musl) or ()
    if not cpu:
        return words, ""
    base = configured(target, cpus, SMALLEST_PAGE)
    if cpu == BASELINE and not base:
        raise UsageError(f"--cpu: the oldest CPU of {target.name} is not known", "name one as QEMU does")
    emulator = qemu.qemu(host, target)
    if not emulator:
        raise MissingRequirements(f"no QEMU for {target.name}, which --cpu needs", "apt-get install qemu-user-static")
    return words or (emulator,), base.cpu if cpu == BASELINE and base else cpu


def rejection(outcome: Outcome, words: tuple[str, ...]) -> str:
    """Why QEMU did not even start, because it does not know the CPU; "" if it did."""
    name = f"{Path(words[0]).name}: "
    lines = (line.removeprefix(name) for line in outcome.output.splitlines() if line.startswith(name))
    return next((line for line in lines if not line.startswith("warning")), "") if outcome.code == 1 else ""


def last_instruction(trace: str) -> str:
    """The last instruction in the output of TRACE and its function, as in "vmovups (%rip), %ymm0 in main"; "" without one."""
    symbol = instruction = ""
    for line in trace.splitlines():
        if line.startswith("IN:"):
            symbol = line.removeprefix("IN:").strip()
        elif match := re.match(r"0x[0-9a-f]{8,16}:\s+(?:[0-9a-f]{2,8} )+\s*(\S.*)$", line):
            instruction = " ".join(match[1].split())
    return f"{instruction} in {symbol}" if instruction and symbol else instruction
