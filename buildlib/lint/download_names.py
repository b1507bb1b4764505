"""The words for architectures in the name of a download, also where variables of the name contain them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from buildlib.lint.analysis import PLATFORM_ARGS, Analysis, arch_words, constant_text
from buildlib.lint.parsing.arch_words import OTHER_SYSTEM, ArchWord, can_run, find_arch_words
from buildlib.lint.parsing.containerfile import Piece, Stage
from buildlib.lint.parsing.script import ParsedScript

DATA = re.compile(
    r"\.(?:json|ya?ml|toml|txt|md|csv|xml|patch|diff|list|conf|cfg|ini|sha\d+(?:sums?)?|md5|asc|sig|pem|html?|log|sql|lock|rst|c|h|rs|py"
    r"|go|config|dts|S|s|asm|repo|sources|gpg|minisig|sbom|cdx|spdx|service|env|in|ld|lds|template|tmpl)$"
)
# Files in the directory of an architecture that are for every machine: lists of packages, from which scripts read a version; keys,
# checksums; packages of "all" architectures. A keyring (NVIDIA's) contains the package source for its directory.
NEUTRAL = re.compile(
    r"/(?:Packages(?:\.\w+)?|(?:In)?Release(?:\.gpg)?|repomd\.xml|APKINDEX\.tar\.gz|[^/]+\.(?:pub|asc|gpg|key|pem|crt|pin|sha\d+(?:sum)?|md5|sig)"
    r"|(?![\w-]*keyring)[^/]+(?:_all\.deb|\.noarch\.rpm))[\"']?$"
)
# Paths that contain an architecture: the dynamic loader, a Java home, the output of Go.
ARCH_PATH = re.compile(
    r"ld-linux-(?:x86-64|aarch64|armhf|riscv64\w*)\.so|ld-musl-(?:x86_64|aarch64|armhf|i386|riscv64)\.(?:so|path)|ld64?\.so\.[12]"
    r"|(?:jvm|java|jdk|openjdk|temurin)[\w./-]*-(?:amd64|arm64|armhf|ppc64el|s390x|riscv64)\b|\blinux_(?:amd64|arm64|386|arm)/"
    r"|targets/(?:x86_64|aarch64|sbsa)-linux|\bjre/lib/(?:amd64|i386|aarch64|arm)\b"
    # What Python builds and where uv installs it.
    r"|\bbuild/lib\.linux-(?:x86_64|aarch64)-[\w.]+|\bcpython-[\d.]+-linux-(?:x86_64|aarch64)-(?:gnu|musl)\b"
)
URL = re.compile(r"^[\"']?[a-z0-9+]+://[^/\s]+", re.IGNORECASE)
# The source of a project, whose name may contain an architecture.
SOURCE_ARCHIVE = re.compile(
    r"^[\"']?https?://(?:www\.)?(?:github|gitlab)\.com/.+?/(?:archive|zipball|tarball)/", re.IGNORECASE
)
# Files for amd64 without a word for it in their names; those for other architectures have one, or do not exist.
IMPLICIT_AMD64 = re.compile(
    r"/krallin/tini/releases/download/[^/]+/(?P<tini>tini(?:-static)?)[\"']?$"
    r"|/alpine-pkg-glibc/releases/download/[^/]+/(?P<glibc>glibc-(?!i18n)[^/]+\.apk)[\"']?$"
)
GUEST = re.compile(r"qemu[-_](?:(?:system|user|static)[-_])*$", re.IGNORECASE)
CROSS_ARCHIVE = re.compile(
    r"-linux-(?:musl|gnu)\w*-(?:cross|native|toolchain)|-(?:none|unknown)-(?:elf|eabi)|-linux-\w+-gcc"
)
SHORT = re.compile(
    r"[A-Za-z0-9]{2,5}"
)  # a value that may be an architecture, depending on the text around it: "64", "ARM"
BRACES = re.compile(r"\{[^{}]*,[^{}]*\}")
LIST_SEPARATOR = re.compile(r"[\s,;|]")
# $NAME and ${NAME…}: an architecture in ${NAME:-amd64} is the default of something unknown.
VARIABLE_USE = re.compile(r"\$(?:\{(?P<braced>\w+)[^{}]*\}|(?P<bare>[A-Za-z_]\w*))")


def download_words(piece: Piece) -> list[ArchWord]:
    """The words for architectures in a download's name, except those of a host name, a guest, a target or a data file."""
    text = constant_text(piece.text)
    host = SOURCE_ARCHIVE.match(text) or URL.match(text)
    start = host.end() if host else 0
    name = text.rpartition("/")[2]
    words = [
        word
        for word in find_arch_words(text)
        if word.start >= start and not GUEST.search(text[: word.start]) and not CROSS_ARCHIVE.match(text, word.end)
    ]
    if implicit := IMPLICIT_AMD64.search(text):
        start = implicit.start(str(implicit.lastgroup))
        words.append(ArchWord("amd64", text[start : implicit.end()].rstrip("\"'"), start, implicit.end()))
    if (OTHER_SYSTEM.search(name) and "linux" not in name.lower()) or NEUTRAL.search(text):
        words = []  # a file for another system is for no platform of an image
    for braces in BRACES.finditer(text):  # t-{amd64,arm64}.tgz
        inside = [word for word in words if braces.start() < word.start < braces.end()]
        words = [word for word in words if not (word in inside and differ(inside))]
    if DATA.search(name.strip("\"'")):
        words = [word for word in words if word.end <= len(text) - len(name)]
    return words


def values_with_arch(
    analysis: Analysis, stage: Stage, script: ParsedScript | None, piece: Piece, depth: int = 3
) -> Iterator[tuple[Piece, tuple[ArchWord, ...]]]:
    """The values of the variables in a piece, and of variables in those, that name an architecture, with its words.

    An ARG with a default is one of them: without --build-arg, every platform gets it. An ARG that FROM uses is not, because the
    whole stage is then for the architecture that it names; nor is a list of several, over which a script loops.
    """
    uses = list(VARIABLE_USE.finditer(piece.text) if depth else ())
    # $([ $TARGETARCH = arm64 ] && echo $URL_ARM64 || echo $URL_AMD64): variables for different architectures, of which one is chosen.
    named = [word for use in uses for word in find_arch_words((use["braced"] or use["bare"]).replace("_", "-"))]
    if differ(named):
        return
    for use in uses:
        name = use["braced"] or use["bare"]
        for value in analysis.values(stage, script, name):
            if value.is_parameter and (
                name in PLATFORM_ARGS or analysis.selects_stage(stage, name) or analysis.is_for_argument(stage)
            ):
                continue
            if not arch_words(value.piece):
                yield from values_with_arch(analysis, stage, script, value.piece, depth - 1)
            words = _words_in_context(piece, use, value.piece)
            if words and not _is_list(value.piece, words):
                yield value.piece, words


def _words_in_context(piece: Piece, use: re.Match[str], value: Piece) -> tuple[ArchWord, ...]:
    """The words of a variable's value, where the piece uses it: `64` is one in linux-$BITS, `amd64` is none in $ARCH.json."""
    words = download_words(value)
    if not (SHORT.fullmatch(value.bare) or (words and words[0].word == value.bare)):
        return tuple(words)
    before = constant_text(piece.text[: use.start()])
    whole = before + value.bare + constant_text(piece.text[use.end() :])
    inner = len(value.text) - len(value.text.lstrip("\"'"))
    return tuple(
        ArchWord(word.arch, value.bare, inner, inner + len(value.bare))
        for word in download_words(Piece(whole, piece.span))
        if word.start < len(before) + len(value.bare) and word.end > len(before)
    )


def _is_list(value: Piece, words: Sequence[ArchWord]) -> bool:
    """Whether a value lists several architectures, or one and the list in another variable."""
    parts = value.bare.split()
    if len(parts) > 1 and any(part.startswith("$") for part in parts):
        return True
    return bool(LIST_SEPARATOR.search(value.bare)) and differ(words)


def differ(words: Sequence[ArchWord]) -> bool:
    """Whether there are words for architectures that differ more than amd64 and 386."""
    arches = {word.arch for word in words}
    return any(not can_run(one, other) and not can_run(other, one) for one in arches for other in arches)
