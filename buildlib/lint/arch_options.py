"""Options of installers that select an architecture: `n --arch x64 install 20`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.analysis import constant_text
from buildlib.lint.known_commands import FETCH, FILTER, INSTALL, MENTION
from buildlib.lint.parsing.arch_words import ArchWord, find_arch_words
from buildlib.lint.parsing.containerfile import Piece
from buildlib.lint.parsing.script import Command
from buildlib.lint.parsing.source import Span

QUOTES = "\"'"
ARCH_OPTION = re.compile(r"--(?:arch|architecture|target[-_]arch|override-arch|forcearch|cpu|platform|system)")
# Commands whose options for an architecture install nothing: compilers, emulators, containers, and what inspects a file.
NO_INSTALLER = re.compile(
    r"\S*(?:toolchain\S*|ndk\S*)$|\S*(?:gcc|g\+\+|clang\S*|cc|ld|as|qemu\S*)$|(?:c?make|ninja|meson|bazel\S*|docker|podman|nerdctl|buildah|buildctl|cargo|go|dotnet|zig|rustc|rustup"
    r"|configure|objdump|objcopy|strip|readelf|nasm|lipo|git|test|node|java|electron\S*|pkg|bun|deno|uname|dpkg-architecture|gdb|helm|kubectl)$"
)


def arch_options(command: Command) -> Iterator[Piece]:
    """The values of such options. BL001 reads all words of package managers and of downloads."""
    if command.name in FETCH | INSTALL | FILTER | MENTION or NO_INSTALLER.match(command.name):
        return
    if any(word.bare == "--foreign" for word in command.words):  # debootstrap: a system for another machine
        return
    for flag, following in zip(command.words[1:], [*command.words[2:], None], strict=False):
        option, equals, value = flag.text.partition("=")
        if ARCH_OPTION.fullmatch(option) or (option == "-a" and command.name in ("n", "dotnet-install.sh")):
            start = flag.span.start + len(option.encode()) + 1
            found = Piece(value, Span(start, flag.span.end)) if equals else following
            if found:
                yield found


def words_of_value(piece: Piece) -> list[ArchWord]:
    """The words for architectures in the value of an option: short ones too, which elsewhere need "linux-" before them."""
    text = constant_text(piece.text)
    if text.strip("\"'").lower() in ("arm", "386", "x86", "64"):
        start = len(text) - len(text.lstrip("\"'"))
        arch = next(find_arch_words(f"linux/{text.strip(QUOTES)}"), None) or next(find_arch_words("linux-64"))
        return [ArchWord(arch.arch, piece.bare, start, start + len(piece.bare))]
    return list(find_arch_words(text))
