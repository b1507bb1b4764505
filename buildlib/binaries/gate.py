"""The gate: the checks that a binary or library must pass before it is published to dist/.

`facts` and `archive` read a file, `elf` compares it with its target, `start` starts programs, under QEMU where they are of another
architecture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from buildlib import elf
from buildlib.binaries import dist, start
from buildlib.binaries.dist import Entry
from buildlib.binaries.start import NOT_STARTED, Started
from buildlib.core.errors import Refused
from buildlib.core.sysroot import Sysroot
from buildlib.core.targets import Target
from buildlib.elf import Facts, archive
from buildlib.process.context import Context

# The libraries of glibc and GCC.
OF_EVERY_SYSTEM = re.compile(
    r"ld(64|-linux.*)\.so\.\d|lib(c|m|dl|rt|pthread|util|resolv|anl|crypt|gcc_s|stdc\+\+|atomic)\.so\.\d+"
)
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
    run: bool = True,
) -> tuple[list[str], Started]:
    """Return the problems, one line each, and how the file was started.

    A library is not started, and nothing without `run`. `kind` is that of cargo's target.
    """
    mismatches = list(map(str, elf.check(facts, target, minimum_glibc, kind, path.name, context.config.page_size)))
    mismatches += _absent_libraries(facts, context.host.sysroots.get(target.name))
    if mismatches or kind not in PROGRAMS or not run:
        return mismatches, NOT_STARTED
    return start.start(context, path, facts, target)


def _absent_libraries(facts: Facts, sysroot: Sysroot | None) -> list[str]:
    """A problem for each library that a system with glibc does not have and the sysroot neither: an image would not have it."""
    absent = [
        name
        for name in facts.needed
        if sysroot and name not in sysroot.libraries and not OF_EVERY_SYSTEM.fullmatch(name)
    ]
    return [f"needed libraries: {name}, expected one of the packages in `libraries`" for name in absent]


def is_due(context: Context, entry: Entry, target: Target) -> bool:
    """Return whether this machine can find out more about an unchanged file than its `entry` says."""
    static = not entry["facts"]["loader"]
    return dist.kind_of(entry) in PROGRAMS and start.is_due(context, target, dist.started_of(entry), static=static)


def refuse(target: Target, mismatches: Sequence[str]) -> None:
    """Raise Refused if there are mismatches, each a line such as `app: glibc: 2.35, expected 2.31 or older`."""
    if mismatches:
        raise Refused(f"{target.name}: the gate refused\n  " + "\n  ".join(mismatches), "dist/ is unchanged")
