"""What a script does, as data: its commands, the variables that it sets and reads, and its choices by architecture."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from buildlib.lint.parsing.containerfile import Piece
from buildlib.lint.parsing.source import Span

BUILD_PLATFORM = re.compile(r"\$\{?BUILD(?:ARCH|PLATFORM)\b")
VARIABLE = re.compile(r"\$\{?(\w+)")
REQUIRED = re.compile(r"\$\{(?=(\w+):?\?)")
TESTED = re.compile(r"(?:-z|-n|test)(?=\s+\"?\$\{?(\w+))")


@dataclass(frozen=True)
class Guard:
    """A branch that runs for some architectures only; `arches` is empty where they are not known."""

    arches: frozenset[str] = frozenset()


def guard_of(test: str, arches: frozenset[str]) -> Guard:
    """The guard of a branch. A test of the build platform says nothing about what the branch prepares."""
    return Guard() if BUILD_PLATFORM.search(test) and "TARGET" not in test else Guard(arches)


@dataclass(frozen=True)
class Command:
    """A simple command. Its first word is its name; there are no words if it only sets variables."""

    words: tuple[Piece, ...]
    span: Span
    guards: tuple[Guard, ...] = ()  # outermost first
    pipeline: int = 0  # the same number for all commands of one pipeline; 0 outside

    @cached_property
    def name(self) -> str:
        """The name without a directory: "curl" for /usr/bin/curl."""
        return self.words[0].bare.rpartition("/")[2] if self.words else ""


@dataclass(frozen=True)
class Assignment:
    """A variable that is set; a loop sets it to several values."""

    name: str
    values: tuple[Piece, ...]
    span: Span
    guards: tuple[Guard, ...] = ()
    before_command: bool = False  # GOARCH=arm64 go build


@dataclass(frozen=True)
class Use:
    """A variable that is read."""

    name: str
    span: Span
    has_default: bool = False  # ${NAME:-word} and the like


@dataclass(frozen=True)
class Branch:
    """One branch of a choice. `fails` is whether it ends the script with an error."""

    arches: frozenset[str]
    text: str
    fails: bool
    span: Span
    commands: tuple[tuple[str, ...], ...] = ()  # the words of each command directly in it

    @cached_property
    def sets(self) -> frozenset[str]:
        """The names of the variables that it sets."""
        return frozenset(re.findall(r"(?<![\w-])(\w+)=", self.text))


@dataclass(frozen=True)
class Choice:
    """A `case`, or an `if` with all its `elif`, that asks for the architecture. `default` is its `*)` or `else`."""

    keyword: str  # "case" or "if"
    subject: str  # what is compared
    span: Span
    branches: tuple[Branch, ...]
    default: Branch | None
    guards: tuple[Guard, ...] = ()
    output: str = ""  # what reads what its branches print: "" for nothing, "checksum" for sha256sum and so on, "other"
    is_conditional: bool = False  # in a branch, a loop or a function


@dataclass
class ParsedScript:
    """All that a script does."""

    commands: list[Command] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    written: list[tuple[Piece, tuple[Guard, ...]]] = field(default_factory=list)  # the files after > and >>
    choices: list[Choice] = field(default_factory=list)
    otherwise_set: set[str] = field(default_factory=set)  # names that read, export, for and so on set
    sources_file: bool = False  # `. file`, which may set any variable
    text: str = ""
    unparsed: list[Span] = field(default_factory=list)

    @cached_property
    def assignments_of(self) -> Mapping[str, Sequence[Assignment]]:
        """The assignments to each variable, by its name."""
        assignments: dict[str, list[Assignment]] = {}
        for assignment in self.assignments:
            assignments.setdefault(assignment.name, []).append(assignment)
        return assignments

    @cached_property
    def copies(self) -> Mapping[str, frozenset[str]]:
        """The variables that are set from a variable, by the name of that; only those that are set in any case."""
        copies: dict[str, set[str]] = {}
        for assignment in self.assignments:
            for value in assignment.values if not assignment.guards else ():
                for name in VARIABLE.findall(value.text):
                    copies.setdefault(name, set()).add(assignment.name)
        return {name: frozenset(names) for name, names in copies.items()}

    def is_read(self, name: str, start: int, end: int) -> bool:
        """Whether a variable is read between two places in the file."""
        places = self._uses_of.get(name, ())
        at = bisect_left(places, start)
        return at < len(places) and places[at] < end

    @cached_property
    def _uses_of(self) -> Mapping[str, Sequence[int]]:
        uses: dict[str, list[int]] = {}
        for use in sorted(self.uses, key=lambda use: use.span.start):
            uses.setdefault(use.name, []).append(use.span.start)
        return uses

    @cached_property
    def required(self) -> frozenset[str]:
        """The variables in ${NAME:?}."""
        return frozenset(REQUIRED.findall(self.text))

    @cached_property
    def tested(self) -> frozenset[str]:
        """The variables that `test`, -z and -n get."""
        return frozenset(TESTED.findall(self.text))
