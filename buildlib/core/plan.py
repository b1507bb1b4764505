"""Plans as data: planners return them, the runner executes them, the console shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from buildlib.core.errors import BuildError

# Registers a small executable file: takes its name and text, returns its path.
Script = Callable[[str, str], str]
# Pairs of a path and what stands for it in what is compiled. Of several that match, compilers take the last.
Trims = tuple[tuple[str, str], ...]


def last_line(text: str) -> str:
    """The last line of a tool's output that is not blank; "" without one."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def words(flag: str, values: Iterable[str]) -> tuple[str, ...]:
    """Put `flag` before each value: "--tag" and ("a", "b") become ("--tag", "a", "--tag", "b")."""
    return tuple(word for value in values for word in (flag, value))


class Decoder(Protocol):
    """Reads the stderr of a running step, and says what to show in its place."""

    def lines(self, line: str) -> Iterable[str]:
        """What to show for one line: none, one or several lines."""

    def end(self) -> Iterable[str]:
        """What is still to be shown after the last line."""

    def overdue(self, now: float) -> BuildError | None:
        """The error that ends the step, None while it may go on. `now` is the time of `time.monotonic`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command. It gets the runner's environment without `unset`, plus `env`."""

    title: str  # for the log
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()  # names of variables; NAME* is all that begin with NAME
    cwd: Path | None = None
    attempts: int = 1  # in all; with more than one, transient failures are retried
    stdout: str = "show"  # "show" prints it, "keep" returns it, "both" does both, "json" reads cargo's messages
    quiet: bool = False  # the step only asks: neither it nor its output is shown, and a dry run runs it too
    held: bool = False  # its output is not shown, because the caller reads it and reports what matters
    timeout: float | None = None  # seconds
    terminal: bool = False  # it may ask the user, as sudo does for a password
    decoder: Callable[[], Decoder] | None = None  # makes what decodes the stderr of one try
    message: Callable[[Mapping[str, Any]], None] | None = None  # gets each of cargo's messages, with stdout="json"
    # How far it is: what cargo counts ("crate", "test binary"; "" for another tool) and of how many, 0 for unknown; for another
    # tool, what a line of its output says about that, "" for nothing. `first` is why a first run may be silent for long at its end.
    counts: str = ""
    total: int = 0
    position: Callable[[str], str] | None = None
    first: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Write one small file atomically."""

    path: Path
    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Create or replace one symbolic link atomically."""

    path: Path
    to: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """Copy the files in `source` that match `pattern`, and create empty files, in a directory that appears atomically."""

    source: Path
    pattern: str
    into: Path
    empty: tuple[str, ...] = ()  # names of the empty files


@dataclass(frozen=True, slots=True, kw_only=True)
class AtomicUpdate:
    """Copy files, given as (from, to), and write small ones; none gets its final name before all are on the disk.

    Their modification times are in the second before that of the file `as_old_as`; a file with other content has another one. Files
    that nothing refers to any more are removed at the end.
    """

    copies: tuple[tuple[Path, Path], ...]
    writes: tuple[Write, ...]
    as_old_as: Path
    removes: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Extend:
    """Copy a file with other first bytes and with more behind its last one, atomically. An equal file is left as it is."""

    source: Path
    path: Path
    head: bytes  # in place of as many bytes
    tail: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFiles:
    """Copy files, given as (from, to, mode), into a new directory; everything in it gets a time in the second `modified`.

    Nothing of the originals remains but their content: the same files give the same directory on every machine.
    """

    folder: Path
    files: tuple[tuple[Path, str, int], ...]  # `to` is relative to the directory
    modified: int  # seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareHostUnits:
    """Copy into a target directory what cargo has compiled for this machine in those beside it, as far as it is missing there."""

    into: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class OciLayout:
    """Write an OCI image layout: the blobs, then the index, then remove blobs that nothing refers to.

    A reader finds the old images or the new ones, always complete.
    """

    folder: Path
    blobs: Mapping[str, bytes | Path]  # digest (sha256:<hex>) -> content, or a file with that content
    index: bytes


FileAction = Write | Link | Install | AtomicUpdate | Extend | CopyFiles | ShareHostUnits | OciLayout
Action = Step | FileAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Actions in order, under one name; the first that fails ends the job.

    `lock` is a directory that only one process holds at a time, `done` a path that exists if another process has done the job
    meanwhile, `scratch` a directory that is empty before the job and removed after it.
    """

    name: str
    steps: tuple[Action, ...]
    lock: Path | None = None
    done: Path | None = None
    scratch: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file that cargo has compiled or found up to date: a program, or a library that is no crate."""

    path: Path
    name: str  # of cargo's target
    kind: str  # the target's kind; "cdylib" or "staticlib" for a library
    manifest: Path  # the Cargo.toml of its package
    test: bool = False  # compiled as a test or a benchmark

    @property
    def is_example(self) -> bool:
        """Whether it is an example, which may be a library too: cargo puts them into a directory of their own."""
        return self.kind == "example" or self.path.parent.name == "examples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of an action. `output` is the end of a step's stderr, `stdout` its whole stdout for "keep" and "both".

    `code` is the exit code, 128 + n for a process that signal n killed, 124 after a timeout.
    """

    step: Action
    code: int
    seconds: float
    stdout: str = ""
    output: str = ""
    artifacts: tuple[Artifact, ...] = ()  # from cargo's messages
    ran: bool = True  # False in a dry run
    decoders: tuple[Decoder, ...] = ()  # of all tries, in order

    def __bool__(self) -> bool:
        return self.code == 0

    @property
    def tests(self) -> tuple[Artifact, ...]:
        """The test binaries among the artifacts, benchmarks included."""
        return tuple(artifact for artifact in self.artifacts if artifact.test)

    @property
    def last(self) -> str:
        """The last line of the output, or the exit code where there is no output."""
        return last_line(self.output) or f"exit code {self.code}"


class Status(Enum):
    """The result of one target or image, as tables and JSON show it."""

    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REFUSED = "refused"
    PLANNED = "planned"
    LEFT_OUT = "left out"
