"""What a script does: its commands, the variables that it sets and reads, and its choices by architecture."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from buildlib.lint.parsing.containerfile import Piece
from buildlib.lint.parsing.source import Span


@dataclass(frozen=True)
class Guard:
    """A branch that is taken for some architectures; `arches` is empty where it is not known for which."""

    arches: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Command:
    """A simple command; its first word is its name, "" for one that only sets variables."""

    words: tuple[Piece, ...]
    span: Span
    guards: tuple[Guard, ...] = ()
    feeds: int = 0  # commands of one pipeline have one number

    @property
    def name(self) -> str:
        return self.words[0].bare.rpartition("/")[2] if self.words else ""


@dataclass(frozen=True)
class Assignment:
    """A variable that is set; `values` are several in a loop."""

    name: str
    values: tuple[Piece, ...]
    span: Span
    guards: tuple[Guard, ...] = ()
    before_command: bool = False  # GOARCH=arm64 go build


@dataclass(frozen=True)
class Use:
    """A variable that is read; `fallback` says that it has a word for the case that it is not set."""

    name: str
    span: Span
    fallback: bool = False


@dataclass(frozen=True)
class Branch:
    arches: frozenset[str]
    text: str
    fails: bool
    span: Span
    commands: tuple[tuple[str, ...], ...] = ()  # the words of those that stand in it

    @cached_property
    def sets(self) -> frozenset[str]:
        """The names of what is set in it."""
        return frozenset(re.findall(r"(?<![\w-])(\w+)=", self.text))


@dataclass(frozen=True)
class Chain:
    """A `case`, or an `if` with all its `elif`, that asks for the architecture. `rest` is what is left: `*)` or `else`."""

    word: str
    subject: str
    span: Span
    branches: tuple[Branch, ...]
    rest: Branch | None
    guards: tuple[Guard, ...] = ()


@dataclass
class Shell:
    """All that a script does."""

    commands: list[Command] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    sets: set[str] = field(default_factory=set)  # names that are set in some other way: read, export, for
    sources: bool = False  # another file is read in, which may set anything
    text: str = ""
    broken: list[Span] = field(default_factory=list)  # what is not read
