"""Start a compiled program: at all, on the oldest CPU that its arch promises, and with the largest pages of its kernels."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib.core.errors import UsageError
from buildlib.core.plan import Outcome
from buildlib.core.targets import SMALLEST_PAGE, Target
from buildlib.elf.facts import Facts
from buildlib.emulation import baseline, qemu
from buildlib.emulation.baseline import NOT_CHECKED, Baseline
from buildlib.process.context import Context

FLAGS = ("--version", "--help")


@dataclass(frozen=True, slots=True)
class Started:
    """How a program was started; all of it is "" if it was not.

    `flag` is one of FLAGS, with the exit code if that was not 0. `cpu` is the oldest CPU on which the program has started, as QEMU
    names it, and `pages` the size of the largest pages, as in "64 KiB". Each may be NOT_CHECKED; `pages` is "" for an arch with one
    size.
    """

    flag: str = ""
    cpu: str = ""
    pages: str = ""


NOT_STARTED = Started()


@dataclass(frozen=True, slots=True)
class _Plain:
    """A start without a baseline: on QEMU's newest CPU, or on this machine's."""

    flag: str
    code: int

    def __str__(self) -> str:
        return f"{self.flag} (exit code {self.code})" if self.code else self.flag


def is_due(context: Context, target: Target, before: Started, *, static: bool) -> bool:
    """Return whether this machine can find out more about an unchanged program than it was found out `before`."""
    if not before.flag:
        return qemu.runner(context.host, target, static=static) is not None
    base = _baseline(context, target)
    return (
        base is not None
        and base.cpu != before.cpu
        and baseline.runner(context.host, target, base, static=static) is not None
    )


def start(context: Context, path: Path, facts: Facts, target: Target) -> tuple[list[str], Started]:
    """Return the problems, one line each, and how the program was started.

    Raises:
        UsageError: QEMU does not know the CPU that the settings name.
    """
    words = qemu.runner(context.host, target, static=not facts.loader)
    if words is None:
        return [], NOT_STARTED
    if words and target.qemu_since and (reason := qemu.too_old(context.run(qemu.version(words)).stdout, target)):
        context.console.warn(f"{path.name}: not started: {reason}")
        return [], NOT_STARTED
    starts: list[_Plain] = []
    for flag in FLAGS:
        outcome = _run(context, path, words, flag)
        if reason := qemu.not_isolated(outcome):
            context.console.warn_once(f"programs are started without isolation from this machine: {reason}")
        if reason := qemu.not_loaded(outcome):
            context.console.warn(f"{path.name}: not started, a shared library is missing: {reason}")
            return [], NOT_STARTED
        if problem := qemu.start_problem(outcome, flag):
            where = _instruction(context, path, words, flag) if words and outcome.code == baseline.SIGILL else ""
            return [f"{problem}: {where}" if where else problem], NOT_STARTED
        starts.append(_Plain(flag, outcome.code))
        if outcome:
            break
    return _start_on_baseline(context, path, facts, target, min(starts, key=lambda plain: plain.code != 0))


def _start_on_baseline(
    context: Context, path: Path, facts: Facts, target: Target, plain: _Plain
) -> tuple[list[str], Started]:
    """Start a program on the baseline that has started without it."""
    unchecked = Started(str(plain), NOT_CHECKED, NOT_CHECKED if target.page_size > SMALLEST_PAGE else "")
    base = _baseline(context, target)
    words = baseline.runner(context.host, target, base, static=not facts.loader) if base else None
    if base is None or words is None:
        return [], unchecked
    arch = target.arch
    outcome = _run(context, path, words, plain.flag)
    if reason := baseline.rejection(outcome, words):
        _unknown_cpu(context, arch, words, reason)
        return [], unchecked
    if outcome.code == baseline.SIGILL:
        return [_newer_cpu(context, path, arch, words, plain.flag, base.cpu)], NOT_STARTED
    if problem := _difference(outcome, plain):
        context.console.warn(f"{path.name}: not checked on the CPU {base.cpu}: {problem}")
        return [], unchecked
    return _start_with_large_pages(context, path, words, base, plain, replace(unchecked, cpu=base.cpu))


def _start_with_large_pages(
    context: Context, path: Path, words: tuple[str, ...], base: Baseline, plain: _Plain, started: Started
) -> tuple[list[str], Started]:
    """Start a program again that has started on the CPU, where the arch has larger pages and QEMU can show them."""
    if not base.page_flags:
        return [], replace(started, pages=base.pages if started.pages else "")
    words = (words[0], *base.page_flags, *words[1:])
    if not _obeys_page_size(context, words, base):
        return [], started
    if problem := _difference(_run(context, path, words, plain.flag), plain):
        return [
            f"{problem}, with pages of {base.pages}, which kernels of the arch have; see the setting `page_size`"
        ], NOT_STARTED
    return [], replace(started, pages=base.pages)


def _difference(outcome: Outcome, plain: _Plain) -> str:
    """How a start on the baseline differs from the one without; "" if it does not, or was only slower (124 is a timeout)."""
    if problem := qemu.start_problem(outcome, plain.flag):
        return problem
    if outcome.code in (plain.code, 124):
        return ""
    lines = qemu.lines_of_cause(outcome.output)
    return f"exited with code {outcome.code} when started with {plain.flag}: {lines[-1] if lines else 'no output'}"


def _baseline(context: Context, target: Target) -> Baseline | None:
    return baseline.configured(target, context.config.cpu, context.config.page_size)


def _run(context: Context, path: Path, words: tuple[str, ...], flag: str, output: int = qemu.OUTPUT) -> Outcome:
    with tempfile.TemporaryDirectory() as scratch:
        return context.run(qemu.start(context.host, words, path.absolute(), flag, Path(scratch), output=output))


def _obeys_page_size(context: Context, words: tuple[str, ...], base: Baseline) -> bool:
    """Whether this QEMU shows programs pages of that size: a probe says which it sees."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "page-size")
        program.write_bytes(baseline.PAGE_PROBE)
        program.chmod(0o755)
        return _run(context, program, words, "").code == base.page_size // SMALLEST_PAGE


def _instruction(context: Context, path: Path, words: tuple[str, ...], flag: str) -> str:
    """The instruction at which a program under QEMU stopped, "" if that is unknown."""
    trace = _run(context, path, (words[0], *baseline.TRACE, *words[1:]), flag, baseline.TRACE_SIZE)
    return baseline.last_instruction(trace.output)


def _newer_cpu(context: Context, path: Path, arch: str, words: tuple[str, ...], flag: str, cpu: str) -> str:
    """The problem of a program that stopped at an instruction that the CPU does not have."""
    where = _instruction(context, path, words, flag) or "when started"
    return (
        f"illegal instruction on {cpu}, the oldest CPU of {arch}: {where}; compile it without target-cpu and -march, or name the"
        f" CPU that users need in the setting `cpu`"
    )


def _unknown_cpu(context: Context, arch: str, words: tuple[str, ...], reason: str) -> None:
    if arch in context.config.cpu:
        raise UsageError(
            f"cpu.{arch} = {context.config.cpu[arch]}: {reason}", f"`{words[0]} -cpu help` lists the names"
        )
    context.console.warn_once(f"programs for {arch} are not started on its oldest CPU: {reason}")
