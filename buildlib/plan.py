"""The data that flows: planners return it, the runner acts on it, the console shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from buildlib.log import last_line


def words(flag: str, values: Iterable[str]) -> tuple[str, ...]:
    """`flag` before each value: words("--tag", ("a", "b")) is ("--tag", "a", "--tag", "b")."""
    return tuple(word for value in values for word in (flag, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command. `env` is laid over the runner's own environment, `unset` is taken out of it."""

    title: str  # as the log shows it
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()  # names; one that ends in * is a prefix
    cwd: Path | None = None
    attempts: int = 1  # more than one: transient failures are retried
    stdout: str = "show"  # "show" prints it, "keep" keeps it whole, "both" does both, "json" reads cargo's messages
    quiet: bool = False  # a question, not work: neither it nor what it says is shown
    held: bool = False  # its output is held back, for somebody reads it and says what matters
    timeout: float | None = None  # seconds
    terminal: bool = False  # it may talk to the person: sudo asks for a password


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One small file, written whole or not at all."""

    path: Path
    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One symbolic link, replaced whole."""

    path: Path
    to: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """Copies of the files in `source` that match `pattern`, with `empty` ones beside them, in a folder that
    appears whole or not at all."""

    source: Path
    pattern: str
    into: Path
    empty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Copies (from, to) and small files that appear together: nothing is renamed before all of it is on the disk.

    All get the modification time of the file `as_old_as`.
    """

    copies: tuple[tuple[Path, Path], ...]
    writes: tuple[Write, ...]
    as_old_as: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """An OCI image layout: the blobs by digest, then the index, then away with blobs that nothing names any more. Whoever
    reads it meanwhile finds the old images or the new ones, whole."""

    folder: Path
    blobs: Mapping[str, bytes | Path]  # digest, as in sha256:<hex> -> the bytes, or the file that has them
    index: bytes


Act = Step | Write | Link | Install | Together | Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Acts in order, under one name; the first that fails ends it.

    `lock` is a folder that only one process holds at a time, `done` a path that shows that somebody else did
    the job meanwhile, `scratch` a folder that is empty before and gone after.
    """

    name: str
    steps: tuple[Act, ...]
    lock: Path | None = None
    done: Path | None = None
    scratch: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a step. `output` is stderr's tail (stdout whole for "keep"), `code` the exit code,
    128 + n for a process that signal n ended, 124 for one that ran out of time."""

    step: Act
    code: int
    seconds: float
    stdout: str = ""
    output: str = ""
    executables: tuple[Path, ...] = ()  # cargo's compiler-artifact messages: binaries
    tests: tuple[Path, ...] = ()  # and what `cargo test` will start
    benches: tuple[tuple[Path, Path], ...] = ()  # of these the benches, each with the folder of its package
    ran: bool = True  # False in a dry run

    def __bool__(self) -> bool:
        return self.code == 0

    @property
    def last(self) -> str:
        """What it said last, or how it ended where it said nothing."""
        return last_line(self.output) or f"exit code {self.code}"


class Status(Enum):
    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REFUSED = "refused"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """One way to meet a need: `text` for a person, `steps` for `setup`, which asks before it takes them; as root, unless they are
    the person's own business."""

    text: str
    steps: tuple[Step, ...] = ()
    root: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something a plan wants of the machine. `met` reads a Host. `must` is False for what only adds a check."""

    what: str
    why: str
    met: Callable[..., bool]  # of a Host
    cures: tuple[Cure, ...] = ()
    must: bool = True
    section: str = "build"  # of doctor's table
    have: str = ""  # what is there, for a person


def apt_install(*packages: str) -> Step:
    """Debian's packages, without questions; the recommended extras stay out."""
    return Step(
        title=f"install {' '.join(packages)}",
        argv=("apt-get", "install", "--yes", "--no-install-recommends", *packages),
        env={"DEBIAN_FRONTEND": "noninteractive"},
        attempts=3,
    )
