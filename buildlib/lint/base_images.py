"""The images from elsewhere that stages use, and the platforms that are written out in FROM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from buildlib.lint.analysis import WHOLE_VARIABLE, Analysis, arch_words, constant_text
from buildlib.lint.parsing.arch_words import OTHER_SYSTEM, TRIPLE, ArchWord
from buildlib.lint.parsing.containerfile import Instruction, Piece, Stage
from buildlib.lint.parsing.source import Span

# An image to compile with, for the target in its name; not a base image for that architecture.
CROSS_IMAGE = re.compile(
    r"cross|muslcc|musl-builder|rust-musl|crosstool|zigbuild|osxcross|qemu|xx$|toolchain|gcc-arm|arm-gcc|none-e|eabi|kernel-build",
    re.IGNORECASE,
)
NO_IMAGE = re.compile(r"[\s\"']")  # not in the name of an image: the rest of a line that cannot be parsed
MOUNT_SOURCE = re.compile(r"(?:=|,)from=([^,]+)")
# Words that mean an architecture in the name and the tag of an image, where they are a whole part of it: alpine-arm:edge, app:1-x86.
IMAGE_WORD = re.compile(
    r"(?<![A-Za-z0-9.])(?P<arm>arm|arm32)(?![A-Za-z0-9.])|(?<![A-Za-z0-9.])(?P<a386>x86|386)(?![A-Za-z0-9.])",
    re.IGNORECASE,
)


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
        return len(self.arches) == 1 and not any(one.search(name) for one in (CROSS_IMAGE, TRIPLE, OTHER_SYSTEM))


@lru_cache(maxsize=1)  # two rules ask for the same file
def external_images(analysis: Analysis) -> tuple[ExternalImage, ...]:
    """All images that are not stages of the file."""
    return tuple(_external_images(analysis))


def _external_images(analysis: Analysis) -> Iterator[ExternalImage]:
    for stage in analysis.file.stages:
        names = [stage.base] if stage.parent is None else []
        sources = [instruction.flag("from") for instruction in stage.instructions]
        sources += [mounted for instruction in stage.instructions for mounted in _mounts(instruction)]
        names += [source for source in sources if source and ("/" in source.text or ":" in source.text)]
        for name in (one for one in names if not NO_IMAGE.search(one.bare)):
            whole = WHOLE_VARIABLE.fullmatch(name.bare)
            default = analysis.global_default(whole[1]) if whole and name is stage.base else None
            if default is not None and (
                "/" in default.bare or ":" in default.bare
            ):  # FROM $BASE_IMAGE; not a stage, nor an architecture
                yield ExternalImage(stage, default, tuple(arch_words(default)))
            elif not analysis.may_be_stage(name):
                yield ExternalImage(stage, name, tuple(arch_words(name)) or tuple(_short_words(name)))


def _mounts(instruction: Instruction) -> Iterator[Piece]:
    """The images in the option `from` of --mount."""
    for flag in instruction.flags:
        if flag.text.startswith("--mount=") and (match := MOUNT_SOURCE.search(flag.text)):
            start = flag.span.start + len(flag.text[: match.start(1)].encode())
            yield Piece(match[1], Span(start, start + len(match[1].encode())))


def _short_words(name: Piece) -> Iterator[ArchWord]:
    """The short words in the last part of an image's name and in its tag, without host, namespace and digest."""
    text = constant_text(name.text).partition("@")[0]
    start = text.rfind("/") + 1
    tag = text.find(":", start) if ":" in text[start:] else len(text)
    for match in IMAGE_WORD.finditer(text, start):
        # In the name the last part only: arm-tools may be tools for ARM on any machine. An image may be named "arm".
        if match.start() > tag or (match.end() == tag and match.start() > start):
            yield ArchWord("arm" if match["arm"] else "386", match[0], match.start(), match.end())


def constant_platform(stage: Stage) -> tuple[Piece, set[str]] | None:
    """The --platform of FROM with its architectures; None without one, or with a variable in it."""
    if not stage.platform or "$" in stage.platform.text:
        return None
    slashed = Piece(
        f"/{stage.platform.text}", stage.platform.span
    )  # "arm" is a word for an architecture after a slash only
    return stage.platform, {word.arch for word in arch_words(slashed)}


def arches_of_source(analysis: Analysis, instruction: Instruction) -> set[str]:
    """The architectures that the image or the stage in --from of an instruction is always for.

    Other rules report that image or that stage; its files have the same architecture in their paths.
    """
    source = instruction.flag("from")
    if source is None:
        return set()
    arches = {word.arch for word in arch_words(source)}
    for stage in analysis.file.stages:
        if stage.name.lower() == source.bare.lower():
            platform = constant_platform(analysis.file.roots[stage.number])
            arches |= platform[1] if platform else set()
    return arches
