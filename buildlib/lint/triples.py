"""Target triples, values of GOARCH and paths for one architecture that are written out; called triples here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from buildlib.lint.analysis import OTHER_SYSTEM, Analysis, constant_text
from buildlib.lint.downloads import ARCHIVE
from buildlib.lint.known_commands import CROSS_PACKAGE, FETCH, FILTER, INSTALL, MENTION
from buildlib.lint.parsing.arch_words import TRIPLE, find_arch_words, without_arch_words
from buildlib.lint.parsing.containerfile import Instruction, Piece, Stage
from buildlib.lint.parsing.script import Command, Guard, ParsedScript
from buildlib.lint.parsing.source import Span

OTHER_COMMANDS = FETCH | INSTALL | FILTER | MENTION
# Paths that contain an architecture: the dynamic loader, a Java home, the output of Go.
ARCH_PATH = re.compile(
    r"ld-linux-(?:x86-64|aarch64|armhf|riscv64\w*)\.so|ld-musl-(?:x86_64|aarch64|armhf|i386|riscv64)\.so|ld64?\.so\.[12]"
    r"|(?:jvm|java|jdk|openjdk|temurin)[\w./-]*-(?:amd64|arm64|armhf|ppc64el|s390x|riscv64)\b|\blinux_(?:amd64|arm64|386|arm)/"
    r"|targets/(?:x86_64|aarch64|sbsa)-linux"
)
# Variables that select the target of a compiler.
TARGET_VARIABLE = re.compile(
    r"^(?:GOARCH|CARGO_BUILD_TARGET|npm_config_(?:target_)?arch|TARGET_TRIPLE|RUST_TARGET|RUSTTARGET)$"
)
LIBRARY_DIRECTORY = re.compile(rf"/lib/{TRIPLE.pattern}")
LIBC = re.compile(r"(?<=-linux-)(?:gnu|musl)\w*")


# After a triple: the rest of the name of a cross compiler.
CROSS_TOOL = re.compile(r"-(?:gcc|g\+\+|ar|ld|strip|objcopy|cross|[\"']?$)")


class Triple(NamedTuple):
    """A triple in an instruction. `word` is what is written, at the offset `at`, in characters, of the text of `piece`."""

    piece: Piece
    arch: str
    word: str
    at: int
    guards: tuple[Guard, ...]
    is_assigned: bool = False  # to a variable; wrong-arch-mapping compares those values itself

    @property
    def context(self) -> str:
        """The text around it without the C library: the same for all triples of a list; "" where there is no text around it."""
        text = self.piece.bare
        return "" if text == self.word else LIBC.sub("", without_arch_words(constant_text(text)))

    @property
    def may_be_archive_directory(self) -> bool:
        """Whether it may be a directory of an unpacked archive, and not a compiler's target or a system library."""
        text = self.piece.bare
        return not (
            text.startswith("-")
            or text.removeprefix("linux-") == self.word
            or ARCH_PATH.search(self.word)
            or "/lib/" in text
        )

    @property
    def span(self) -> Span:
        """Where it is written."""
        start = self.piece.span.start + len(self.piece.text[: self.at].encode())
        return Span(start, start + len(self.word.encode()))


@lru_cache(maxsize=1)  # two rules ask for the same file
def all_triples(analysis: Analysis) -> tuple[tuple[Stage, Instruction, tuple[Triple, ...]], ...]:
    """The triples of every instruction."""
    return tuple(
        (stage, instruction, tuple(_triples(analysis, stage, instruction)))
        for stage in analysis.file.stages
        for instruction in stage.instructions
    )


def relevant_triples(analysis: Analysis) -> Iterator[tuple[Stage, Instruction, tuple[Triple, ...]]]:
    """The triples of instructions in stages that are neither for one architecture nor a toolchain."""
    for stage, instruction, triples in all_triples(analysis):
        if triples and not analysis.stage_guards(stage) and not analysis.is_toolchain(stage):
            yield stage, instruction, triples


def _triples(analysis: Analysis, stage: Stage, instruction: Instruction) -> Iterator[Triple]:
    match instruction.kind:
        case "run":
            script = analysis.script(stage, instruction)
            if script is not None:
                yield from _in_script(script)
        case "env":
            for name, value in instruction.pairs:
                if value is not None and not _is_download(value):
                    yield from _in_value(name.text, value, ())
        case "copy" | "add" | "workdir" | "volume" | "entrypoint" | "cmd":
            yield from _in_pieces(instruction.words, ())
            if instruction.script:
                text = instruction.script.text.decode("utf-8", "replace")
                yield from _in_pieces([Piece(text, Span(instruction.script.start, instruction.span.end))], ())


def _in_script(script: ParsedScript) -> Iterator[Triple]:
    for command in script.commands:
        if command.name in ("echo", "printf"):  # usually a line of a configuration file
            yield from _in_pieces(
                (piece for piece in command.words if LIBRARY_DIRECTORY.search(piece.text)), command.guards
            )
        if command.name in OTHER_COMMANDS:
            continue
        yield from _in_pieces((piece for piece in command.words if "://" not in piece.text), command.guards)
        if command.name == "dotnet":
            yield from _runtime_identifiers(command)
        for piece in command.words[1:]:  # make GOARCH=amd64
            name, equals, value = piece.text.partition("=")
            if equals and TARGET_VARIABLE.match(name):
                start = piece.span.start + len(name) + 1
                yield from _in_value(name, Piece(value, Span(start, piece.span.end)), command.guards)
    is_other_system = any(
        assignment.name == "GOOS" and any(OTHER_SYSTEM.search(value.text) for value in assignment.values)
        for assignment in script.assignments
    )
    for assignment in script.assignments:
        if is_other_system and assignment.name == "GOARCH":
            continue
        for assigned in assignment.values:
            if not _is_download(assigned):
                for triple in _in_value(assignment.name, assigned, assignment.guards):
                    yield triple._replace(is_assigned=True)


def _is_download(value: Piece) -> bool:
    """Whether a value names a download, which is left to hardcoded-arch-download."""
    return "://" in value.text or bool(ARCHIVE.search(value.bare) and not value.bare.startswith("/"))


def _runtime_identifiers(command: Command) -> Iterator[Triple]:
    """The runtime identifiers of .NET: dotnet publish -r linux-x64."""
    for flag, piece in pairwise(command.words):
        word = next(find_arch_words(constant_text(piece.text)), None)
        if word and (flag.bare in ("-r", "--runtime", "-a", "--arch") or "RuntimeIdentifier=" in piece.text):
            yield Triple(piece, word.arch, word.word, word.start, command.guards)


def _in_value(name: str, value: Piece, guards: tuple[Guard, ...]) -> Iterator[Triple]:
    """In the value of a variable. A variable whose name contains an architecture is read for that one only."""
    if any(find_arch_words(name.replace("_", "-"))) or any(find_arch_words(name)):
        return
    if TARGET_VARIABLE.match(name):
        word = next(find_arch_words(f"linux/{constant_text(value.bare)}"), None)
        if word:
            yield Triple(value, word.arch, value.bare, value.text.find(value.bare), guards)
            return
    yield from _in_pieces((value,), guards)


def _in_pieces(pieces: Iterable[Piece], guards: tuple[Guard, ...]) -> Iterator[Triple]:
    for piece in pieces:
        text = constant_text(piece.text)
        for match in [*TRIPLE.finditer(text), *ARCH_PATH.finditer(text)]:
            is_triple = match.re is TRIPLE
            if CROSS_PACKAGE.search(match[0]) or (is_triple and CROSS_TOOL.match(text, match.end())):
                continue
            yield Triple(piece, _arch(match, is_triple), match[0].rstrip("/"), match.start(), guards)


def _arch(match: re.Match[str], is_triple: bool) -> str:
    if word := next(find_arch_words(match[0]), None):
        return word.arch
    if "arm" in match[0]:
        return "arm"
    return match["cpu"] if is_triple else "one architecture"
