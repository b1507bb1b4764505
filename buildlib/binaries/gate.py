"""The gate: the checks that a binary or library must pass before it is published to dist/.

`facts` and `archive` read a file, `elf` compares it with its target; this module also starts programs, under QEMU where they are
of another architecture.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from buildlib.binaries import archive, elf
from buildlib.binaries.elf import Facts
from buildlib.core.errors import Refused
from buildlib.core.targets import Target
from buildlib.emulation import qemu
from buildlib.process.context import Context

PROGRAMS = ("bin", "example")  # the kinds that are started


def read(path: Path) -> Facts:
    """Return the facts of a program, a shared library or an archive.

    Raises:
        Unreadable: another kind of file, or a broken one.
        OSError: the file cannot be opened.
    """
    return archive.read(path) if archive.is_archive(path) else elf.read(path)


def check(
    context: Context,
    path: Path,
    facts: Facts,
    target: Target,
    minimum_glibc: str,
    kind: str = "bin",
    *,
    start: bool = True,
) -> tuple[list[str], str]:
    """Return the problems, one line each, and the flag that the file was started with.

    The flag is "" for a library, without `start`, and if this machine cannot start the program. `kind` is that of cargo's target.
    """
    mismatches = list(map(str, elf.check(facts, target, minimum_glibc, kind, path.name)))
    if mismatches or kind not in PROGRAMS or not start:
        return mismatches, ""
    words = qemu.runner(context.host, target, static=not facts.loader)
    if words is None:
        return [], ""
    if words and target.qemu_since and (reason := _too_old(context, words, target)):
        context.console.warn(f"{path.name}: not started: {reason}")
        return [], ""
    return _start(context, path, words)


def _start(context: Context, path: Path, words: tuple[str, ...]) -> tuple[list[str], str]:
    started = ""
    with tempfile.TemporaryDirectory() as scratch:
        for flag in ("--version", "--help"):
            outcome = context.run(qemu.start(context.host, words, path.absolute(), flag, Path(scratch)))
            if reason := qemu.not_isolated(outcome):
                context.console.warn_once(f"programs are started without isolation from this machine: {reason}")
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
