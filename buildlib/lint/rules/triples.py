"""Triples, GOARCH and library folders that are written out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from buildlib.lint.analysis import ELSEWHERE, Look, literal
from buildlib.lint.finding import Finding, found
from buildlib.lint.parsing.containerfile import Instruction, Piece, Stage
from buildlib.lint.parsing.script import Command, Guard, Shell
from buildlib.lint.parsing.source import Span
from buildlib.lint.parsing.words import TRIPLE, find, skeleton
from buildlib.lint.rules import downloads
from buildlib.lint.rules.downloads import FETCH, FOR_ANOTHER, INSTALL, SIFT, SILENT

# Folders and files of an architecture's own: its loader, a Java home, Go's output.
LIBRARY = re.compile(
    r"ld-linux-(?:x86-64|aarch64|armhf|riscv64\w*)\.so|ld-musl-(?:x86_64|aarch64|armhf|i386|riscv64)\.so|ld64?\.so\.[12]"
    r"|(?:jvm|java|jdk|openjdk|temurin)[\w./-]*-(?:amd64|arm64|armhf|ppc64el|s390x|riscv64)\b|\blinux_(?:amd64|arm64|386|arm)/"
    r"|targets/(?:x86_64|aarch64|sbsa)-linux"
)
# Variables that say what is compiled for.
COMPILED_FOR = re.compile(
    r"^(?:GOARCH|CARGO_BUILD_TARGET|npm_config_(?:target_)?arch|TARGET_TRIPLE|RUST_TARGET|RUSTTARGET)$"
)
LIBRARIES = re.compile(rf"/lib/{TRIPLE.pattern}")
LIBC = re.compile(r"(?<=-linux-)(?:gnu|musl)\w*")


class Spot(NamedTuple):
    """Where something is written out, and for which architecture."""

    piece: Piece
    arch: str
    word: str
    at: int
    guards: tuple[Guard, ...]
    is_set: bool = False  # by an assignment, whose values another rule compares with the branch

    @property
    def like(self) -> str:
        """The text around it: the same for the triples of a list, whichever C library each has."""
        text = self.piece.bare
        return "" if text == self.word else LIBC.sub("", skeleton(literal(text)))

    @property
    def is_path(self) -> bool:
        """Whether it may be the name of an archive's folder, and not what is compiled for or a system's library."""
        text = self.piece.bare
        return not (
            text.startswith("-")
            or text.removeprefix("linux-") == self.word
            or LIBRARY.search(self.word)
            or "/lib/" in text
        )

    @property
    def span(self) -> Span:
        start = self.piece.span.start + len(self.piece.text[: self.at].encode())
        return Span(start, start + len(self.word.encode()))


def check(look: Look) -> Iterator[Finding]:
    """hardcoded-target-triple: one finding an instruction and architecture; wrong-arch-mapping, of triples in branches."""
    every = [(s, i, list(_spots(look, s, i))) for s in look.file.stages for i in s.instructions]
    twins: dict[str, set[str]] = {}
    for _, _, spots in every:
        for spot in spots:
            twins.setdefault(spot.like, set()).add(spot.arch)
    for stage, instruction, spots in every:
        if look.guard(stage) or look.is_toolchain(stage):
            continue
        taken = _taken(look, stage, instruction) if spots else set()
        seen: set[str] = set()
        for spot in spots:
            if not spot.is_set and (wrong := downloads.mismatch(spot.guards, {spot.arch})):
                yield found(look.source, "wrong-arch-mapping", spot.span, f"{spot.word} in a branch for {wrong}")
            listed = len(twins[spot.like]) > 1
            # What has been downloaded for one architecture is unpacked into folders of its name.
            follows = spot.arch in taken and spot.is_path
            if spot.guards or listed or follows or spot.arch in seen:
                continue
            seen.add(spot.arch)
            yield found(
                look.source, "hardcoded-target-triple", spot.span, f"{spot.word} is {spot.arch}'s, on every platform"
            )


def _taken(look: Look, stage: Stage, instruction: Instruction) -> set[str]:
    """The architectures of what an instruction downloads in any case."""
    taken = downloads.taken(look, stage, instruction)
    return {arch for one in taken if not one.guards for arch in one.arches}


def _spots(look: Look, stage: Stage, instruction: Instruction) -> Iterator[Spot]:
    match instruction.kind:
        case "run":
            script = look.script(stage, instruction)
            if script is not None:
                yield from _in_script(script)
        case "env":
            for name, value in instruction.pairs:
                if value is not None and not _names_a_file(value):
                    yield from _set(name.text, value, ())
        case "copy" | "add" | "workdir" | "volume" | "entrypoint" | "cmd":
            yield from _in(instruction.words, ())
            if instruction.script:
                text = instruction.script.text.decode("utf-8", "replace")
                yield from _in([Piece(text, Span(instruction.script.start, instruction.span.end))], ())


def _in_script(script: Shell) -> Iterator[Spot]:
    for command in script.commands:
        if command.name in ("echo", "printf"):  # a line of a file, as a rule
            yield from _in((piece for piece in command.words if LIBRARIES.search(piece.text)), command.guards)
        if command.name in FETCH | INSTALL | SIFT | SILENT:
            continue
        yield from _in((piece for piece in command.words if "://" not in piece.text), command.guards)
        if command.name == "dotnet":
            yield from _runtime(command)
        for piece in command.words[1:]:  # make GOARCH=amd64
            name, equals, _ = piece.text.partition("=")
            if equals and COMPILED_FOR.match(name):
                at = piece.span.start + len(name) + 1
                yield from _set(name, Piece(piece.text[len(name) + 1 :], Span(at, piece.span.end)), command.guards)
    elsewhere = any(
        one.name == "GOOS" and any(ELSEWHERE.search(v.text) for v in one.values) for one in script.assignments
    )
    for one in script.assignments:
        if elsewhere and one.name == "GOARCH":
            continue
        for value in one.values:
            if not _names_a_file(value):
                yield from (spot._replace(is_set=True) for spot in _set(one.name, value, one.guards))


def _names_a_file(value: Piece) -> bool:
    """Whether a variable holds what is downloaded, which is another rule's."""
    return "://" in value.text or bool(downloads.ARCHIVE.search(value.bare) and not value.bare.startswith("/"))


def _runtime(command: Command) -> Iterator[Spot]:
    """What .NET calls a runtime identifier: dotnet publish -r linux-x64."""
    for flag, piece in pairwise(command.words):
        told = next(find(literal(piece.text)), None)
        if told and (flag.bare in ("-r", "--runtime", "-a", "--arch") or "RuntimeIdentifier=" in piece.text):
            yield Spot(piece, told.arch, told.word, told.start, command.guards)


def _set(name: str, value: Piece, guards: tuple[Guard, ...]) -> Iterator[Spot]:
    """A variable's value. One whose name says an architecture is read for that one alone."""
    if any(find(name.replace("_", "-"))) or any(find(name)):
        return
    if COMPILED_FOR.match(name):
        for one in find(f"linux/{literal(value.bare)}"):
            yield Spot(value, one.arch, value.bare, value.text.find(value.bare), guards)
            return
    yield from _in((value,), guards)


def _in(pieces: Iterable[Piece], guards: tuple[Guard, ...]) -> Iterator[Spot]:
    for piece in pieces:
        text = literal(piece.text)
        for match in [*TRIPLE.finditer(text), *LIBRARY.finditer(text)]:
            if FOR_ANOTHER.search(match[0]) or (
                match.re is TRIPLE
                and re.match(r"-(?:gcc|g\+\+|ar|ld|strip|objcopy|cross|[\"']?$)", text[match.end() :])
            ):
                continue
            told = next(find(match[0]), None)
            arch = (
                told.arch
                if told
                else "arm"
                if "arm" in match[0]
                else match["cpu"]
                if match.re is TRIPLE
                else "one architecture"
            )
            yield Spot(piece, arch, match[0].rstrip("/"), match.start(), guards)
