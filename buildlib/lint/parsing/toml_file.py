"""Cross.toml and .cargo/config.toml: values with the places where they are written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from buildlib.lint.parsing.arch_words import arches_of_pattern, can_run, find_arch_words
from buildlib.lint.parsing.source import Source, Span

PROGRAM_KEYS = ("linker", "runner", "ar")
# Directories that every machine of a distribution has, so that a path in them works on each.
COMMON_DIRECTORIES = re.compile(r"^(?:/usr/bin/|/bin/)")


@dataclass(frozen=True)
class TomlFile:
    """A file with its values; empty if it is not TOML, which cargo and cross report themselves."""

    source: Source
    values: Mapping[str, Any]

    def tables(self, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The tables within a table, with their keys: those of [target.aarch64-unknown-linux-gnu] and so on."""
        tables = self.values.get(name, {})
        for key, table in tables.items() if isinstance(tables, dict) else ():
            if isinstance(table, dict):
                yield key, table

    def cross_tables(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The tables of Cross.toml: [build] with an empty triple, and [target.TRIPLE]."""
        build = self.values.get("build", {})
        if isinstance(build, dict):
            yield "", build
        yield from self.tables("target")

    def place(self, text: str, after: str) -> Span:
        """Where a string is written, searched for after the name of its table."""
        raw = self.source.raw
        start = max(0, raw.find(after.encode()))
        offset = raw.find(text.encode(), start)
        if offset < 0:
            offset = max(0, raw.find(text.encode()[:20]))
        return Span(offset, min(len(raw), offset + len(text.encode())))


class Program(NamedTuple):
    """A program that .cargo/config.toml names for a target."""

    key: str  # "linker"
    triple: str
    path: str
    place: Span

    @property
    def is_host_path(self) -> bool:
        """Whether it is a path that not every machine has."""
        return self.path.startswith(("/", "~")) and not COMMON_DIRECTORIES.match(self.path)


def read(source: Source) -> TomlFile:
    """Read a TOML file."""
    try:
        return TomlFile(source, tomllib.loads(source.raw.decode("utf-8", "replace")))
    except (tomllib.TOMLDecodeError, RecursionError):
        return TomlFile(source, {})


def programs(file: TomlFile) -> Iterator[Program]:
    """The linkers, runners and archivers in .cargo/config.toml."""
    for triple, table in file.tables("target"):
        for key in PROGRAM_KEYS:
            program = table.get(key)
            if isinstance(program, list):
                program = program[0] if program else None
            if isinstance(program, str):
                yield Program(key, triple, program, file.place(program, triple))


def other_arch(triple: str, name: str) -> str:
    """The architecture that `name` mentions, if machines of `triple` do not run it; else ""."""
    machines = arches_of_pattern(triple.split("-", maxsplit=1)[0]) or arches_of_pattern(triple)
    arches = {match.arch for match in find_arch_words(name)}
    mismatch = machines and arches and not any(can_run(machine, arch) for machine in machines for arch in arches)
    return min(arches) if mismatch else ""
