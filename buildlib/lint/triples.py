"""Target triples, values of GOARCH and paths for one architecture that are written out; called triples here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from buildlib.lint.analysis import PLATFORM_ARGS, Analysis, arch_words, constant_text, variables
from buildlib.lint.arch_options import words_of_value
from buildlib.lint.base_images import arches_of_source
from buildlib.lint.download_names import ARCH_PATH, DATA
from buildlib.lint.downloads import ARCHIVE
from buildlib.lint.known_commands import CROSS_PACKAGE, FETCH, FILTER, INSTALL, MENTION
from buildlib.lint.made_files import is_made_here
from buildlib.lint.parsing.arch_words import (
    OTHER_SYSTEM,
    TRIPLE,
    find_arch_words,
    without_arch_words,
)
from buildlib.lint.parsing.containerfile import Instruction, Piece, Stage
from buildlib.lint.parsing.script import Command, Guard, ParsedScript
from buildlib.lint.parsing.source import Span

OTHER_COMMANDS = FETCH | INSTALL | FILTER | MENTION
# Variables that select the target of a compiler.
TARGET_VARIABLE = re.compile(
    r"^(?:GOARCH|CARGO_BUILD_TARGET|npm_config_(?:target_)?arch|TARGET_TRIPLE|PKG_TARGETS?|BUN_TARGET|RUST_TARGET|RUSTTARGET|CONDA_SUBDIR|(?:FNM|N|MISE)_ARCH)$"
)
# Variables before a command, which its build or its installer reads: XC_ARCH=amd64 make.
COMMAND_VARIABLE = re.compile(r"^(?:[A-Z]\w*_)?(?:ARCH|CPU|MACHINE)$")
LIBRARY_DIRECTORY = re.compile(rf"/lib/{TRIPLE.pattern}")
LIBC = re.compile(r"(?<=-linux-)(?:gnu|musl)\w*")


# pkg -t node22-linux-x64, nexe --target linux-arm64-22, bun build --target=bun-linux-x64
PACKAGERS = frozenset({"pkg", "nexe", "bun", "bunx", "npx", "pnpx"})
PACKAGER_TARGET = re.compile(r"(?:-t|--targets?)=.*linux(?:static)?-")
SYSTEM_DIRECTORY = re.compile(r"(?<=/)(?P<name>linux[-_][\w-]+|[\w-]+[-_]linux)(?=[/:]|$)")
SCRIPT_WORD = re.compile(r"[^\s;&|()\"']+")
# After a triple: the rest of the name of a cross compiler.
CROSS_TOOL = re.compile(r"-(?:gcc|g\+\+|ar|ld|strip|objcopy|cross|[\"']?$)")


# Before a triple: the start of the name of a directory with a cross compiler, gcc-linaro-arm-linux-gnueabihf.
TOOLCHAIN_DIRECTORY = re.compile(r"(?:gcc|clang|binutils|toolchain|cross|linaro)[^/:\s]*[-_]$", re.IGNORECASE)


class Triple(NamedTuple):
    """A triple in an instruction. `word` is what is written, at the offset `at`, in characters, of the text of `piece`."""

    piece: Piece
    arch: str
    word: str
    at: int
    guards: tuple[Guard, ...]
    is_assigned: bool = False  # to a variable; wrong-arch-mapping compares those values itself
    is_further_target: bool = False  # of a compiler, in addition to the machine's own: rustup target add

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
                yield from _in_parameters(analysis, stage, script)
        case "env":
            for name, value in instruction.pairs:
                if value is not None and not _is_download(value):
                    yield from _in_value(name.text, value, ())
                    if name.text.endswith("PATH"):
                        yield from _in_directories(value)
        case "arg":
            for name, value in instruction.pairs:
                if value is not None and TARGET_VARIABLE.match(name.text):  # RUN has it in its environment
                    yield from _in_value(name.text, value, ())
        case "copy" | "add" | "workdir" | "volume" | "entrypoint" | "cmd":
            if instruction.kind in ("entrypoint", "cmd"):
                yield from started_programs(analysis, instruction)
            arches = arches_of_source(analysis, instruction)
            yield from (triple for triple in _in_pieces(instruction.words, ()) if triple.arch not in arches)
            if instruction.script:
                text = instruction.script.text.decode("utf-8", "replace")
                yield from _in_pieces([Piece(text, Span(instruction.script.start, instruction.span.end))], ())


def _in_script(script: ParsedScript) -> Iterator[Triple]:
    yield from _in_commands(script)
    for file, guards in script.written:
        if file.bare.startswith("/") and (ARCH_PATH.search(file.bare) or LIBRARY_DIRECTORY.search(file.bare)):
            yield from _in_pieces((file,), guards)
    is_other_system = any(
        assignment.name.endswith("OS") and any(OTHER_SYSTEM.search(value.text) for value in assignment.values)
        for assignment in script.assignments
    )
    for assignment in script.assignments:
        is_command_variable = assignment.before_command and bool(COMMAND_VARIABLE.match(assignment.name))
        if is_other_system and (assignment.name == "GOARCH" or is_command_variable):
            continue
        for assigned in assignment.values:
            if is_command_variable and "CROSS_COMPILE" not in script.text:
                yield from _whole_word(assigned, assignment.guards)
            elif not _is_download(assigned):
                for triple in _in_value(assignment.name, assigned, assignment.guards):
                    yield triple._replace(is_assigned=True)


def _whole_word(value: Piece, guards: tuple[Guard, ...]) -> Iterator[Triple]:
    """The value, if it is the name of an architecture and nothing else."""
    for word in words_of_value(value)[:1]:
        if word.word == value.bare:
            yield Triple(value, word.arch, word.word, word.start, guards)


def _in_commands(script: ParsedScript) -> Iterator[Triple]:
    for command in script.commands:
        if command.name in ("echo", "printf"):  # usually a line of a configuration file
            yield from _in_pieces(
                (piece for piece in command.words if LIBRARY_DIRECTORY.search(piece.text)), command.guards
            )
        if command.name in OTHER_COMMANDS:
            continue
        words = [word.bare for word in command.words]
        is_further = command.name == "rustup" and "target" in words
        for triple in _in_pieces((piece for piece in command.words if "://" not in piece.text), command.guards):
            yield triple._replace(is_further_target=is_further)
        yield from _runtime_identifiers(command)
        if command.name == "Configure":  # of OpenSSL: ./Configure linux-x86_64
            targets = (piece for piece in command.words[1:] if piece.bare.startswith("linux-"))
            yield from (
                Triple(piece, word.arch, word.word, word.start, command.guards)
                for piece in targets
                for word in arch_words(piece)
            )
        for piece in command.words[1:]:  # make GOARCH=amd64
            name, equals, value = piece.text.partition("=")
            if equals and TARGET_VARIABLE.match(name):
                start = piece.span.start + len(name) + 1
                yield from _in_value(name, Piece(value, Span(start, piece.span.end)), command.guards)


def _in_directories(value: Piece) -> Iterator[Triple]:
    """Directories of programs for one machine in a PATH: /ndk/toolchains/llvm/prebuilt/linux-x86_64/bin."""
    for match in SYSTEM_DIRECTORY.finditer(constant_text(value.text)):
        word = next(find_arch_words(match[0]), None)
        if word:
            yield Triple(value, word.arch, match["name"], match.start("name"), ())


def _in_parameters(analysis: Analysis, stage: Stage, script: ParsedScript) -> Iterator[Triple]:
    """In the defaults of the ARGs that commands of a script use."""
    used = [(word, "", one.guards) for one in script.commands if one.name not in OTHER_COMMANDS for word in one.words]
    used += [(value, one.name, one.guards) for one in script.assignments for value in one.values]
    for piece, variable, guards in used:
        for name in variables(piece) if "$" in piece.text and "://" not in piece.text else ():
            if name in PLATFORM_ARGS or analysis.selects_stage(stage, name) or analysis.is_for_argument(stage):
                continue
            for value in analysis.values(stage, script, name):
                if value.is_parameter and not _is_download(value.piece):
                    yield from _in_value(variable if TARGET_VARIABLE.match(variable) else name, value.piece, guards)


def _is_download(value: Piece) -> bool:
    """Whether a value names a download, which is left to hardcoded-arch-download."""
    return "://" in value.text or bool(ARCHIVE.search(value.bare) and not value.bare.startswith("/"))


def started_programs(analysis: Analysis, instruction: Instruction) -> Iterator[Triple]:
    """The programs that an image starts, in ENTRYPOINT and CMD, with an architecture in their paths."""
    words = [word for word in instruction.words if "://" not in word.text and not word.bare.startswith("-")]
    if instruction.script:
        text = instruction.script.text.decode("utf-8", "replace")
        start = instruction.script.start
        found = (match for match in SCRIPT_WORD.finditer(text) if "://" not in match[0])
        words = [
            Piece(m[0], Span(start + len(text[: m.start()].encode()), start + len(text[: m.end()].encode())))
            for m in found
        ]
    for number, piece in enumerate(words):
        text = constant_text(piece.text)
        found_words = list(find_arch_words(text))
        is_path = text.startswith(("/", "./", "../"))
        if len({word.arch for word in found_words}) != 1 or not (is_path or number == 0 or "/bin/" in text):
            continue
        if (
            TRIPLE.search(text)
            or ARCH_PATH.search(text)
            or DATA.search(piece.bare)
            or is_made_here(analysis, piece.bare)
            or piece.bare.rpartition("/")[2].startswith("qemu-")
        ):
            continue
        word = found_words[0]
        yield Triple(piece, word.arch, word.word, word.start, ())


def _runtime_identifiers(command: Command) -> Iterator[Triple]:
    """The targets of .NET and of what makes a program of JavaScript: dotnet publish -r linux-x64, pkg -t node22-linux-x64."""
    for flag, piece in pairwise(command.words) if command.name == "dotnet" else ():
        word = next(find_arch_words(constant_text(piece.text)), None)
        if word and (flag.bare in ("-r", "--runtime", "-a", "--arch") or "RuntimeIdentifier=" in piece.text):
            yield Triple(piece, word.arch, word.word, word.start, command.guards)
    for flag, piece in pairwise(command.words) if command.name in PACKAGERS else ():
        words = list(find_arch_words(constant_text(piece.text)))
        is_target = PACKAGER_TARGET.match(piece.bare if "=" in piece.bare else f"{flag.bare}={piece.bare}")
        if is_target and len({word.arch for word in words}) == 1 and not TRIPLE.search(piece.text):
            yield Triple(piece, words[0].arch, words[0].word, words[0].start, command.guards)


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
            if is_triple and TOOLCHAIN_DIRECTORY.search(text[: match.start()]):
                continue
            yield Triple(piece, _arch(match, is_triple), match[0].rstrip("/"), match.start(), guards)


def _arch(match: re.Match[str], is_triple: bool) -> str:
    if word := next(find_arch_words(match[0]), None):
        return word.arch
    if "arm" in match[0]:
        return "arm"
    return match["cpu"] if is_triple else "one architecture"
