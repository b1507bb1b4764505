"""Words that name an architecture, as file names, packages, images and tools spell them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from pathlib import PurePath
from typing import NamedTuple

# Spellings in file names and packages, by the architecture's short name. `arm` is 32-bit ARM of an unknown version;
# `armv6` includes older ones.
WORDS = {
    "amd64": r"x86[_-]64(?:[_-]?v[1-4])?|amd64(?:v[1-4])?|x64|x86_64bit|x86_64linux\d?|linux-?64|linuxx64|linuxamd64"
    r"|(?:(?<=linux[-_])|(?<=ubuntu[-_]))64(?:-?bit)?",
    "arm64": r"arm64(?:/?v8)?(?!-v8a)|aarch[_-]?64|armv8l?|(?<=linux[-_])arm-?64|linuxarm64|(?<=/)sbsa(?=/)",
    "armv7": r"armv7(?:l|hf|a|-a)?|arm/v7|arm-v7|arm32v7|arm-?hf|armv7hl",
    "armv6": r"armv6(?:l|hf)?|arm/v6|arm-v6|arm32v6|armel|armv5(?:te)?|arm32v5|arm/v5",
    "arm": r"(?<=linux[-_/])arm|arm(?=-(?:unknown-)?linux-)",
    "386": r"i[3-6]86|(?<=linux[-_/])386|(?<=linux[-_/])x86|x86(?=\.(?:t|zip|deb|rpm|run|sh))|linux32|ia32",
    "ppc64le": r"ppc64le|ppc64el|powerpc64le|ppcle[_-]64",
    "s390x": r"s390x|s390[_-]64",
    "riscv64": r"riscv64(?:gc)?|riscv[_-]64",
    "mips64le": r"mips64el|mips64le",
    "mipsle": r"mipsel|mipsle",
    "loong64": r"loong64|loongarch64",
}
# A word begins and ends at the edge of letters and digits; unlike with \b, `_` may be next to it.
BEFORE, AFTER = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
# Every group is named after its architecture, with an "a" before it: such a name cannot begin with a digit (386).
_ARCH_WORD = re.compile(
    BEFORE + "(?:" + "|".join(f"(?P<a{name}>{pattern})" for name, pattern in WORDS.items()) + ")" + AFTER, re.IGNORECASE
)
# Further patterns of a `case`: OCI platforms, patterns with *, and words that mean an architecture only if compared.
_PATTERNS = {
    "arm": {"arm", "armv6", "armv7"}, "linux/arm": {"arm", "armv6", "armv7"}, "arm*": {"arm", "armv6", "armv7", "arm64"},
    "386": {"386"}, "x86": {"386"}, "linux/386": {"386"}, "armv*": {"armv6", "armv7"}, "i*86": {"386"}, "x86*": {"amd64", "386"},
    "64": {"amd64"}, "aarch*": {"arm64"}, "armv5": {"armv6"}, "mips": {"mips"}, "ppc64": {"ppc64"},
}  # fmt: skip
# The architectures whose programs a machine runs; one that is not listed runs only its own.
RUNS = {
    "armv7": {"armv7", "armv6", "arm"}, "armv6": {"armv6", "arm"}, "arm": {"arm", "armv6", "armv7"}, "amd64": {"amd64", "386"},
}  # fmt: skip
MACHINES = {"arm": {"arm", "armv6", "armv7"}, "x86": {"386", "amd64"}}
# "x86_64-unknown-linux-musl", "aarch64-linux-gnu", "arm-linux-gnueabihf": the names of Rust and GNU.
TRIPLE = re.compile(
    BEFORE + r"(?P<cpu>x86_64|i[3-6]86|aarch64|arm(?:v\w+)?|riscv64(?:gc)?|powerpc64(?:le)?|s390x|loongarch64|mips\w*)"
    r"-(?:(?:unknown|pc|alpine|redhat|suse|none)-)?linux-(?:gnu|musl)\w*" + AFTER
)


OTHER_SYSTEM = re.compile(
    r"android|windows|mingw|darwin|apple|freebsd|netbsd|solaris|illumos|fuchsia|ohos|wasm|uefi", re.IGNORECASE
)


class ArchWord(NamedTuple):
    """A word for an architecture in a text; `start` and `end` are offsets in characters."""

    arch: str
    word: str
    start: int
    end: int


def find_arch_words(text: str) -> Iterator[ArchWord]:
    """The words for architectures in a text, in order."""
    for match in _ARCH_WORD.finditer(text):
        yield ArchWord(str(match.lastgroup)[1:], match[0], match.start(), match.end())


def arches_of_pattern(pattern: str) -> frozenset[str]:
    """The architectures that a `case` pattern, or an operand of a comparison, names; empty for any other word."""
    word = pattern.strip("\"'").lower()
    if word in _PATTERNS:
        return frozenset(_PATTERNS[word])
    bare = word.removeprefix("linux/").removeprefix("linux-").removeprefix("linux_").strip("*")
    if bare in _PATTERNS:
        return frozenset(_PATTERNS[bare])
    match = _ARCH_WORD.fullmatch(bare)
    if match:
        return frozenset({str(match.lastgroup)[1:]})
    arches = {match.arch for match in find_arch_words(word)}
    return frozenset(arches if len(arches) == 1 else ())


def arches_of_path(path: PurePath) -> frozenset[str]:
    """The architectures that a path names: a whole directory (arm64/Dockerfile) or a part of the file's name (Dockerfile.arm64).

    Any other name that contains one, such as docker-arm64/, may be that of a project.
    """
    arches: set[str] = set()
    for folder in path.parts[:-1]:
        arches |= _whole_word(folder)
    name = path.name.lower()
    if OTHER_SYSTEM.search(name) or TRIPLE.search(name):
        return frozenset(arches)  # what is compiled in the image; the image itself is for Linux
    words = {match.arch for match in find_arch_words(name)}
    return frozenset(arches | (words or set().union(*map(_whole_word, re.split(r"[._-]", name)))))


def _whole_word(word: str) -> set[str]:
    if word.lower() == "x86":
        return {"386", "amd64"}  # in contrast to ARM
    if word.lower() in ("arm", "386"):
        return set(arches_of_pattern(word))
    match = _ARCH_WORD.fullmatch(word)
    return {str(match.lastgroup)[1:]} if match else set()


def can_run(machine: str, arch: str) -> bool:
    """Whether a machine of one architecture runs programs for another."""
    return arch in RUNS.get(machine, {machine})


def machine_of(arches: Set[str]) -> str:
    """The kind of machine that all these architectures are for, such as "arm" for armv6 and armv7; "" for several kinds."""
    if len(arches) == 1:
        return min(arches)
    return next((name for name, kinds in MACHINES.items() if arches and arches <= kinds), "")


def without_arch_words(text: str) -> str:
    """The text with a placeholder for each architecture, so that names that differ only in it become equal."""
    return _ARCH_WORD.sub("{}", text)
