"""Downloads, packages and archives that are for one architecture, and branches that take another one's."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from buildlib.lint.analysis import Look, literal, names, words
from buildlib.lint.finding import Edit, Finding, found
from buildlib.lint.parsing.containerfile import Instruction, Piece, Stage
from buildlib.lint.parsing.script import Command, Guard, Shell
from buildlib.lint.parsing.source import Span
from buildlib.lint.parsing.words import TRIPLE, Found, find, fits, skeleton

FETCH = frozenset({
    "curl", "wget", "aria2c", "axel", "fetch", "http", "https", "gh", "aws", "gsutil", "s3cmd", "rclone", "oras", "lwp-download",
    "wget2", "hub", "xh",
})  # fmt: skip
INSTALL = frozenset({
    "apt", "apt-get", "aptitude", "dpkg", "yum", "dnf", "microdnf", "tdnf", "zypper", "rpm", "apk", "pip", "pip3", "pipx", "uv",
    "npm", "yarn", "pnpm", "conda", "mamba", "micromamba", "gdebi", "snap", "pacman", "opkg", "install_packages", "apt-install",
    "clean-install", "localinstall",
})  # fmt: skip
UNPACK = frozenset({"tar", "bsdtar", "unzip", "7z", "gunzip", "dpkg-deb", "rpm2cpio", "unar"})
PACKS = re.compile(r"-?[a-z]*c[a-z]*|--create", re.IGNORECASE)  # tar's words for the other way round
SIFT = frozenset({"grep", "egrep", "fgrep", "jq", "awk", "sed"})
# What only speaks of a file, or moves it after it has come.
SILENT = frozenset({
    "echo", "printf", "test", "[", "[[", "sha256sum", "sha512sum", "sha1sum", "md5sum", "shasum", "gpg", "rm", "cosign",
})  # fmt: skip
ARCHIVE = re.compile(
    r"\.(?:tar(?:\.\w+)?|t[gx]z|tbz2?|zip|gz|xz|bz2|zst|7z|deb|rpm|apk|whl|run|bin|AppImage|jar|sh|snap|ipk|exe|so[.\d]*|a|img|iso)$",
    re.IGNORECASE,
)
# cmake-3.29.2-linux-x86_64.sh: an archive that unpacks itself.
INSTALLER = re.compile(r"\d\.\d|linux[-_](?:x86|amd|x64|aarch|arm|ppc|s390|risc)", re.IGNORECASE)
DATA = re.compile(
    r"\.(?:json|ya?ml|toml|txt|md|csv|xml|patch|diff|list|conf|cfg|ini|sha\d+(?:sums?)?|md5|asc|sig|pem|html?|log|sql|lock|rst|c|h|rs|py"
    r"|go|config|dts|S|s|asm|repo|sources|gpg|minisig|sbom|cdx|spdx|service|env|in|ld|lds|template|tmpl)$"
)
URL = re.compile(r"^[\"']?[a-z0-9+]+://[^/\s]+", re.IGNORECASE)
# The source of a project, which may be called after an architecture.
SOURCE_ARCHIVE = re.compile(
    r"^[\"']?https?://(?:www\.)?(?:github|gitlab)\.com/.+?/(?:archive|zipball|tarball)/", re.IGNORECASE
)
# Files for amd64 whose names do not say so; those of other architectures do, or there are none.
UNSPOKEN = re.compile(
    r"/krallin/tini/releases/download/[^/]+/(?P<tini>tini(?:-static)?)[\"']?$"
    r"|/alpine-pkg-glibc/releases/download/[^/]+/(?P<glibc>glibc-(?:bin-|dev-)?[^/-]+-r\d+\.apk)"
)
PARAMETER = re.compile(r"(?:linux)?[-_/.]?", re.IGNORECASE)  # what may stand beside the architecture in one
APT_SOURCE = re.compile(r"\[[^\]\n]*\barch=(?P<arch>[^\]\s]+)[^\]\n]*\]")
DEB822 = re.compile(r"^\s*Architectures:\s*(?P<arch>\S+)\s*$", re.MULTILINE)
# Compilers and libraries for another target, and emulators: they are packages of this machine's.
FOR_ANOTHER = re.compile(
    r"^(?:gcc|g\+\+|cpp|pkg-config|pkgconf|gfortran|gobjc|gdc|gnat|gccgo|clang|binutils|crossbuild-essential|qemu|gdb|musl|elfutils|llvm|rust-std|mingw|ovmf|edk2)\b"
    r"|-cross\b|-dev-\w+-cross|-none-|-elf\b|-eabi\b|-target-|mingw"
)
PACKAGE = "the package"
FLAG = re.compile(r"^-(?!-(?:target[_-])?arch=|-cpu=|-platform)")  # electron-builder --x64 is no package
GUEST = re.compile(r"qemu[-_](?:(?:system|user|static)[-_])*$", re.IGNORECASE)
CROSS_ARCHIVE = re.compile(
    r"-linux-(?:musl|gnu)\w*-(?:cross|native|toolchain)|-(?:none|unknown)-(?:elf|eabi)|-linux-\w+-gcc"
)
TOOLCHAIN_ARCHIVE = re.compile(r"toolchain|\bgcc\b", re.IGNORECASE)
# A helper that a script has for downloads: download_ndk android-ndk-linux-x86_64.zip.
HELPER = re.compile(r"^(?:\w+[_-])?(?:download|fetch)(?:[_-]\w+)*$")


@dataclass(frozen=True)
class Taken:
    """A file that a command takes: the word, its words for architectures, and what led to it. `carrier` is where the word's
    architecture really stands, when that is a variable."""

    piece: Piece
    found: tuple[Found, ...]
    guards: tuple[Guard, ...]
    what: str
    carrier: Piece | None = None
    is_local: bool = False  # by a command that takes files which are there already
    edits: tuple[Edit, ...] = ()

    @property
    def arches(self) -> set[str]:
        return {one.arch for one in self.found}

    @property
    def place(self) -> Piece:
        return self.carrier or self.piece

    @property
    def like(self) -> str:
        """Its name without the architecture."""
        return skeleton(literal(self.place.text))

    @property
    def beginning(self) -> str:
        """What stands before the architecture."""
        return self.place.text[: self.found[0].start].strip("\"'")

    @property
    def span(self) -> Span:
        """Where the first word for an architecture stands; the whole piece where it has several."""
        start = self.place.span.start
        first = self.found[0]
        before = len(self.place.text[: first.start].encode())
        return Span(start + before, start + before + len(first.word.encode()))


def check(look: Look) -> Iterator[Finding]:
    """hardcoded-arch-download and wrong-arch-mapping, of downloads."""
    seen: set[Span] = set()
    for stage in look.file.stages:
        chosen = look.guard(stage)
        all_of_it = [(i, one) for i in stage.instructions for one in taken(look, stage, i)]
        together, alike = (
            _arches(((id(i), one.beginning), one) for i, one in all_of_it if not one.guards),
            _arches((one.like, one) for _, one in all_of_it),
        )
        for instruction, one in _first(all_of_it):
            guards = (*chosen, *one.guards)
            named = one.what == PACKAGE and "://" not in one.place.text
            if look.is_toolchain(stage) and (named or TOOLCHAIN_ARCHIVE.search(one.place.text)):
                continue  # libraries to link with, or the compiler, for the one target
            if all(any(fits(target, arch) for target in look.targets(stage)) for arch in one.arches):
                continue  # a guest's system, or a sysroot
            if wrong := mismatch(guards, one.arches):
                text = f"{one.found[0].word} in a branch for {wrong}"
                yield found(look.source, "wrong-arch-mapping", one.span, text)
                continue
            # One of a list: others that begin as it does, in the instruction, or its twins in the stage.
            several = len(one.arches) == 1 and _others(together.get((id(instruction), one.beginning), set()), one)
            if guards or several or _others(alike[one.like], one) or one.span in seen:
                continue
            seen.add(one.span)
            text = f"{one.what} is for {' and '.join(sorted(one.arches))} on every platform: {_shown(look, one)}"
            yield found(look.source, "hardcoded-arch-download", one.span, text, edits=one.edits)


def _arches(told: Iterable[tuple[Hashable, Taken]]) -> dict[Hashable, set[str]]:
    """The architectures of all that has one key."""
    found: dict[Hashable, set[str]] = {}
    for key, one in told:
        found.setdefault(key, set()).update(one.arches)
    return found


def _others(arches: set[str], one: Taken) -> set[str]:
    """Those of the architectures that no machine of this file's has; one of amd64 has 386's packages, too."""
    return {arch for arch in arches if not any(fits(arch, own) or fits(own, arch) for own in one.arches)}


def _first(all_of_it: list[tuple[Instruction, Taken]]) -> Iterator[tuple[Instruction, Taken]]:
    """Without files that have come before: what is downloaded is installed, or unpacked, further down."""
    come: set[tuple[str, tuple[Guard, ...]]] = set()
    for instruction, one in all_of_it:
        name = _base(one.place)
        if not (one.is_local and (name, one.guards) in come):
            yield instruction, one
        come |= {(name, one.guards), (name, ())}


def mismatch(guards: tuple[Guard, ...], arches: set[str]) -> str:
    """The architecture of the nearest branch, when files of all these others are taken there; "" when that is right or unknown."""
    told = next((guard.arches for guard in reversed(guards) if guard.arches), frozenset())
    if not told or not arches or any(fits(machine, arch) for machine in told for arch in arches):
        return ""
    return " or ".join(sorted(told))


def _shown(look: Look, taken: Taken) -> str:
    text = look.source.raw[taken.place.span.start : taken.place.span.end].decode("utf-8", "replace").strip("\"'")
    return text if len(text) <= 80 else f"…{text[-79:]}"


def taken(look: Look, stage: Stage, instruction: Instruction) -> Iterator[Taken]:
    """The files of one architecture that an instruction takes."""
    match instruction.kind:
        case "add" | "copy":
            yield from _copied(look, stage, instruction)
            for text in instruction.heredocs:
                yield from _sources(text, [])
        case "run":
            script = look.script(stage, instruction)
            if script is not None:
                start = instruction.script.start if instruction.script else instruction.span.start
                yield from _sources(Piece(script.text, Span(start, instruction.span.end)), script.commands)
                yield from _run(look, stage, script)


def _copied(look: Look, stage: Stage, instruction: Instruction) -> Iterator[Taken]:
    """Archives and programs of the context's; what comes from a stage was made for whom that was made for."""
    if instruction.flag("from"):
        return
    what = "what is added" if instruction.kind == "add" else "what is copied"
    for piece in instruction.words[:-1]:
        name = piece.bare.rpartition("/")[2]
        told = _plain(piece)
        if not told:
            yield from (Taken(piece, tuple(_plain(c)), (), what, c) for c in _carried(look, stage, None, piece))
        if name.endswith(".sh") and not INSTALLER.search(name) and not URL.match(piece.text):
            continue  # a script is text; it lies in a folder, or is for a target, of that name
        if TRIPLE.search(piece.text) and not ARCHIVE.search(name) and not URL.match(piece.text):
            continue  # where a compiler has put it, which is another rule's
        archive = ARCHIVE.search(name) or not re.search(r"\.\w+$|config$", name)
        if len({one.arch for one in told}) == 1 and (archive or URL.match(piece.text)) and not DATA.search(name):
            yield Taken(piece, tuple(told), (), what)


def _run(look: Look, stage: Stage, script: Shell) -> Iterator[Taken]:
    fetching = {command.feeds for command in script.commands if command.feeds and command.name in FETCH}
    for command in script.commands:
        local = command.name not in FETCH
        for piece in _pieces(command, fetching):
            what = PACKAGE if command.name in INSTALL else "the download"
            if told := _plain(piece):
                yield Taken(piece, tuple(told), command.guards, what, is_local=local)
                continue
            for carrier in _carried(look, stage, script, piece):
                yield Taken(piece, tuple(_plain(carrier)), command.guards, what, carrier, local)


def _base(piece: Piece) -> str:
    return piece.bare.rpartition("/")[2]


def _pieces(command: Command, fetching: set[int]) -> Iterator[Piece]:
    """The words of a command that name what it takes."""
    name, rest = command.name, command.words[1:]
    urls = [piece for piece in rest if "://" in piece.text]
    if name in FETCH:
        yield from urls or rest
    elif name in INSTALL and not any(piece.bare.startswith("--add-arch") for piece in rest):
        yield from (piece for piece in rest if not FOR_ANOTHER.search(piece.bare) and not FLAG.match(piece.bare))
    elif (name in UNPACK and not (rest and PACKS.fullmatch(rest[0].bare))) or HELPER.match(name):
        yield from (piece for piece in rest if ARCHIVE.search(piece.bare))
    elif name in SIFT:
        if command.feeds in fetching:
            yield from rest
    elif name not in SILENT and name != "git":
        yield from urls


def _plain(piece: Piece) -> list[Found]:
    """The words for architectures in what is taken: not in a host's name, not of a guest or a target, not of a data file."""
    text = literal(piece.text)
    host = SOURCE_ARCHIVE.match(text) or URL.match(text)
    start = host.end() if host else 0
    name = text.rpartition("/")[2]
    told = [
        one
        for one in find(text)
        if one.start >= start and not GUEST.search(text[: one.start]) and not CROSS_ARCHIVE.match(text, one.end)
    ]
    if unspoken := UNSPOKEN.search(text):
        at = unspoken.start(str(unspoken.lastgroup))
        told.append(Found("amd64", text[at : unspoken.end()].rstrip("\"'"), at, unspoken.end()))
    if DATA.search(name.strip("\"'")):
        told = [one for one in told if one.end <= len(text) - len(name)]
    return told


def _carried(look: Look, stage: Stage, script: Shell | None, piece: Piece, depth: int = 3) -> Iterator[Piece]:
    """The texts of variables that name an architecture, as far as nothing chooses them; one variable may stand in another. What is no
    more than the architecture, as the default of an ARG, is a parameter: whoever builds says it."""
    for name in names(piece) if depth else ():
        value = look.value(stage, script, name)
        told = words(value.piece) if value else []
        if value and not told:
            yield from _carried(look, stage, script, value.piece, depth - 1)
        if not value or not told or not _plain(value.piece):
            continue
        if value.parameter and PARAMETER.fullmatch(value.piece.bare.replace(told[0].word, "")):
            continue
        yield value.piece


def _sources(text: Piece, commands: list[Command]) -> Iterator[Taken]:
    """Package sources for one architecture; one that names several is for these."""
    for pattern in (APT_SOURCE, DEB822):
        for match in pattern.finditer(text.text):
            told = list(find(literal(match["arch"])))
            if len(told) != 1 or "," in match["arch"]:
                continue
            at = text.span.start + len(text.text[: match.start("arch")].encode())
            guards = [command.guards for command in commands if command.span.start <= at < command.span.end]
            piece = Piece(match["arch"], Span(at, at + len(match["arch"])))
            pieces = [word for command in commands for word in command.words if word.span.start <= at < word.span.end]
            edits = tuple(Edit(span=piece.span, text=_asked(word, at)) for word in pieces[-1:])
            yield Taken(piece, tuple(told), guards[-1] if guards else (), "the package source", edits=edits)


def _asked(word: Piece, at: int) -> str:
    """What asks dpkg for the architecture, for this place in a word of the shell's: single quotes are left for it."""
    quote = ""
    for char in word.text.encode()[: at - word.span.start].decode("utf-8", "replace"):
        if char in "'\"" and quote in ("", char):
            quote = "" if quote else char
    return "'\"$(dpkg --print-architecture)\"'" if quote == "'" else "$(dpkg --print-architecture)"
