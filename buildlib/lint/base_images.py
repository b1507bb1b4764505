"""The images from elsewhere that stages use, and the platforms that are written out in FROM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from buildlib.lint.analysis import Analysis, arch_words
from buildlib.lint.parsing.arch_words import TRIPLE, ArchWord
from buildlib.lint.parsing.containerfile import Piece, Stage

# An image to compile with, for the target in its name; not a base image for that architecture.
CROSS_IMAGE = re.compile(r"cross|muslcc|musl-builder|rust-musl|crosstool|zigbuild|osxcross|qemu|xx$", re.IGNORECASE)


@dataclass(frozen=True)
class ExternalImage:
    """An image from elsewhere, in FROM or in --from of an instruction."""

    stage: Stage  # that uses it
    name: Piece
    words: tuple[ArchWord, ...]  # for architectures, in its name

    @property
    def arches(self) -> set[str]:
        """The architectures in its name."""
        return {word.arch for word in self.words}

    @property
    def is_for_one_arch(self) -> bool:
        """Whether its name says that it is for one architecture."""
        name = self.name.text
        return len(self.arches) == 1 and not CROSS_IMAGE.search(name) and not TRIPLE.search(name)


@lru_cache(maxsize=1)  # two rules ask for the same file
def external_images(analysis: Analysis) -> tuple[ExternalImage, ...]:
    """All images that are not stages of the file."""
    return tuple(_external_images(analysis))


def _external_images(analysis: Analysis) -> Iterator[ExternalImage]:
    for stage in analysis.file.stages:
        names = [stage.base] if stage.parent is None else []
        flags = (instruction.flag("from") for instruction in stage.instructions)
        names += [flag for flag in flags if flag and ("/" in flag.text or ":" in flag.text)]
        for name in names:
            if not analysis.may_be_stage(name):
                yield ExternalImage(stage, name, tuple(arch_words(name)))


def constant_platform(stage: Stage) -> tuple[Piece, set[str]] | None:
    """The --platform of FROM with its architectures; None without one, or with a variable in it."""
    if not stage.platform or "$" in stage.platform.text:
        return None
    slashed = Piece(
        f"/{stage.platform.text}", stage.platform.span
    )  # "arm" is a word for an architecture after a slash only
    return stage.platform, {word.arch for word in arch_words(slashed)}
