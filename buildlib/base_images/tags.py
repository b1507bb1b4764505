"""The tags that are most like another one. Pure.

A tag is versions and words: `3.18-alpine3.20` is the family `#-alpine#` with the versions 3.18 and 3.20. Names of Debian's and
Ubuntu's releases are versions as well. A tag without a platform is often an old one, or one of a single architecture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from buildlib.lint.parsing.arch_words import find_arch_words

RELEASES = {
    "debian": {"jessie": 8, "stretch": 9, "buster": 10, "bullseye": 11, "bookworm": 12, "trixie": 13, "forky": 14, "duke": 15},
    "ubuntu": {"trusty": 1404, "xenial": 1604, "bionic": 1804, "focal": 2004, "jammy": 2204, "noble": 2404, "resolute": 2604},
}  # fmt: skip
_NAMES = "|".join(name for names in RELEASES.values() for name in names)
PART = re.compile(
    rf"(?<![A-Za-z])(?P<name>{_NAMES})(?![A-Za-z])|(?P<number>\d{{1,18}}(?:\.\d{{1,18}})*)", re.IGNORECASE
)
SINGLE_ARCH = re.compile(
    r"^(?P<hub>docker\.io/)(?:amd64|i386|arm32v5|arm32v6|arm32v7|arm64v8|ppc64le|riscv64|s390x|mips64le)/"
)
MAX_ASKED = 8  # tags that are tried; each is a pull for a registry that counts them


class Parts(NamedTuple):
    """A tag, read: `family` has the number of components of each version, so that 3.18 and 3.18.1 differ."""

    family: str
    versions: tuple[tuple[int, ...], ...]


@lru_cache(maxsize=4096)
def parts(tag: str) -> Parts:
    """The family and the versions of a tag."""
    versions: list[tuple[int, ...]] = []

    def replace(match: re.Match[str]) -> str:
        if match["name"]:
            name = match["name"].lower()
            kind = next(kind for kind, names in RELEASES.items() if name in names)
            versions.append((RELEASES[kind][name],))
            return f"<{kind}>"
        versions.append(tuple(map(int, match["number"].split("."))))
        return f"<{match['number'].count('.') + 1}>"

    return Parts(PART.sub(replace, tag), tuple(versions))


def similar(tag: str, others: Iterable[str]) -> Iterator[list[str]]:
    """Groups of tags that differ from `tag` in one version only, ordered by that version, the best group first.

    First come those in which the last version differs, which is the distribution's where there is more than one: for
    3.12-slim-bookworm it is better to keep Python's version.
    """
    own = parts(tag)
    groups: dict[int, list[tuple[tuple[int, ...], str]]] = {}
    for other in others:
        read = parts(other)
        if read.family != own.family or read.versions == own.versions:
            continue
        places = [place for place, version in enumerate(read.versions) if version != own.versions[place]]
        if len(places) == 1:
            groups.setdefault(places[0], []).append((read.versions[places[0]], other))
    for place in sorted(groups, reverse=True):
        yield [other for _, other in sorted(groups[place])]


def without_arch(tag: str) -> list[str]:
    """The tags without the name of an architecture: 1.0 for 1.0-arm64; empty if there is none in it."""
    words = list(find_arch_words(tag))
    if not words:
        return []
    rest = tag
    for word in reversed(words):
        rest = f"{rest[: word.start].rstrip('-_.')}|{rest[word.end :].lstrip('-_.')}"
    pieces = [piece for piece in rest.split("|") if piece]
    return ["-".join(pieces)] if pieces else ["latest"]


def without_single_arch(reference: str) -> str:
    """docker.io/library/debian for docker.io/arm64v8/debian, Docker Hub's image for one architecture; "" for any other."""
    replaced = SINGLE_ARCH.sub(r"\g<hub>library/", reference)
    return replaced if replaced != reference else ""


def nearest(tag: str, known: Collection[str], has: Callable[[str], bool]) -> str:
    """The tag most like `tag` for which `has` is true, "" if none is found within MAX_ASKED questions.

    Platforms are added, hardly ever removed. If the newest tag of a group has them, the oldest one that does is found by halving;
    otherwise the next older tags are tried.
    """
    asked: dict[str, bool] = {}

    def ask(other: str) -> bool:
        if other not in asked:
            asked[other] = len(asked) < MAX_ASKED and has(other)
        return asked[other]

    for other in without_arch(tag):
        if other in known and ask(other):
            return other
    for group in similar(tag, known):
        own = parts(tag)
        newer = [other for other in group if parts(other).versions > own.versions]
        older = [other for other in group if parts(other).versions < own.versions]
        if newer and ask(newer[-1]):
            return _first(newer, ask)
        for other in older[-2:][::-1]:
            if ask(other):
                return other
    return ""


def _first(tags: list[str], has: Callable[[str], bool]) -> str:
    """A tag for which `has` is true, as it is for the last: the first one, if it is true for all that follow."""
    low, high = 0, len(tags) - 1
    while low < high:
        middle = (low + high) // 2
        if has(tags[middle]):
            high = middle
        else:
            low = middle + 1
    return tags[high]
