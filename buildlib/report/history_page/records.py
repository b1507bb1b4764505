"""What a reader wants to know of a history, as data, and how texts and numbers get from its lines into that. Pure.

Anyone may have edited the file, and names in it come from crates, registries and Dockerfiles: a line with a value of another type is
left out, text is shortened, and characters that would change how it reads are escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from buildlib.display.escaping import printable

LONGEST, LONGEST_MESSAGE = 160, 1500  # characters of a name, and of a message
LARGEST = 1e18  # above it a number is not a size, a time or a count
SEPARATOR = " · "  # of the arch and the rest of a title


def text(value: object, limit: int = LONGEST) -> str:
    """The value as text that a page can contain; "" for what is not a string."""
    if not isinstance(value, str):
        return ""
    shown = printable(value[: limit + 1].encode("utf-8", "replace").decode())
    return shown if len(shown) <= limit else f"{shown[: limit - 1].rstrip()}…"


def number(value: object) -> float | None:
    """The value as a number that is neither negative nor absurd, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
        return None
    return float(value) if math.isfinite(value) else None


def minute(run: str) -> str:
    """The time of a command to the minute; its name in the history is its time."""
    return run[:16].replace("T", " ")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a command. `at` is in seconds since 1970, `code` the exit code; `last` is False if another try followed."""

    title: str
    at: float
    seconds: float
    code: int
    last: bool = True

    @property
    def arch(self) -> str:
        """The arch that the step was for, "" for none: the part of the title before the dot."""
        arch, dot, _ = self.title.partition(SEPARATOR)
        return arch if dot else ""


@dataclass(frozen=True, slots=True)
class Run:
    """One command. `code` is None if it did not record its end: it was killed, or has no end that counts."""

    name: str  # its time in full
    command: str
    steps: tuple[Step, ...]
    code: int | None
    seconds: float
    notes: tuple[str, ...]  # what emulation cost

    @property
    def when(self) -> str:
        """Its time to the minute."""
        return minute(self.name)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error that a command ended with, or a failed try: how often, and when last."""

    message: str
    help: str
    command: str
    when: str
    count: int
    kind: str = ""  # the class of the failure
    solved: bool = False  # the same command has succeeded since


@dataclass(slots=True)
class Arch:
    """Totals of one arch. `size` is that of its binaries."""

    name: str
    commands: int = 0
    seconds: float = 0.0
    compiled: int = 0
    fresh: int = 0
    size: float = 0.0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Compilation:
    """One call of cargo: how many crates were compiled, and how many were up to date."""

    when: str
    title: str
    compiled: int
    fresh: int


@dataclass(frozen=True, slots=True)
class Crate:
    """The last compilation of one crate for one arch, in seconds; `script` is the part of its build script."""

    name: str
    title: str
    seconds: float
    script: float


@dataclass(slots=True)
class Series:
    """One size or count over the commands, oldest first; `sections` are those of the first file and of the latest two."""

    arch: str
    name: str
    values: dict[str, float] = field(default_factory=dict)  # command -> value
    sections: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Image:
    """The latest image of one name: platform -> (digest, stored bytes) of its layers; () where these are not known."""

    name: str
    when: str
    where: str
    digest: str
    tags: tuple[str, ...]
    status: str
    platforms: Mapping[str, tuple[tuple[str, float], ...]]


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that the page shows. Runs, compilations, problems and retries: newest first."""

    runs: tuple[Run, ...]
    problems: tuple[Problem, ...]
    retries: tuple[Problem, ...]
    arches: tuple[Arch, ...]
    compilations: tuple[Compilation, ...]
    crates: tuple[Crate, ...]
    sizes: tuple[Series, ...]
    counts: tuple[Series, ...]
    images: tuple[Image, ...]
