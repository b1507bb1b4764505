"""The gate: the checks that a binary must pass before it is published to dist/.

`elf` reads the facts and compares them; this module also starts the binary, under QEMU where it is of another architecture.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from buildlib.binaries import elf
from buildlib.binaries.elf import Facts
from buildlib.core.errors import Refused, UsageError
from buildlib.core.targets import Target
from buildlib.emulation import qemu
from buildlib.process.context import Context


def check(context: Context, path: Path, facts: Facts, target: Target, minimum_glibc: str) -> tuple[list[str], str]:
    """Return the problems, one line each, and the flag that the file was started with, "" if this machine cannot start it."""
    mismatches = list(map(str, elf.check(facts, target, minimum_glibc)))
    words = qemu.runner(context.host, target, static=not facts.loader)
    if mismatches or words is None:
        return mismatches, ""
    if words and target.qemu_since and (reason := _too_old(context, words, target)):
        context.console.warn(f"{path.name}: not started: {reason}")
        return [], ""
    return _start(context, path, words)


def _start(context: Context, path: Path, words: tuple[str, ...]) -> tuple[list[str], str]:
    started = ""
    with tempfile.TemporaryDirectory() as scratch:
        for flag in ("--version", "--help"):
            try:
                outcome = context.run(qemu.start(words, path.absolute(), flag, Path(scratch)))
            except UsageError as error:  # the kernel does not execute it; uploads of workflows lose the mode of files
                reason = f"{error.message.removeprefix(f'{path.absolute()}: ')} ({error.help})"
                return [f"cannot be executed: {reason}"], ""
            if problem := qemu.start_problem(outcome, flag):
                return [problem], ""
            if qemu.NO_LIBRARY in outcome.output:
                context.console.warn(f"{path.name}: not started, a shared library is missing: {outcome.output.strip()}")
                return [], ""
            if outcome:
                return [], flag
            started = started or f"{flag} (exit code {outcome.code})"
    return [], started


def _too_old(context: Context, words: tuple[str, ...], target: Target) -> str:
    return qemu.too_old(context.run(qemu.version(words)).stdout, target)


def refuse(target: Target, mismatches: Sequence[str]) -> None:
    """Raise Refused if there are mismatches, each a line such as `app: glibc: 2.35, expected 2.31 or older`."""
    if mismatches:
        raise Refused(f"{target.name}: the gate refused\n  " + "\n  ".join(mismatches), "dist/ is unchanged")
