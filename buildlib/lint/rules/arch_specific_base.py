"""arch-specific-base (BL003): a base image for one architecture."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.base_images import external_images
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.arch_words import find_arch_words

# Publishers of images for single devices or architectures.
DEVICE_IMAGE = re.compile(
    r"^(?:docker\.io/)?(?:balenalib|resin)/[\w.:-]+$|^(?:[\w.:-]+/)*(?:rpi|raspbian|raspberry-?pi\d?)[-:/][\w.:-]+$",
    re.IGNORECASE,
)


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the images in FROM and in --from of other instructions."""
    for image in external_images(analysis):
        if analysis.stage_guards(image.stage) or analysis.is_toolchain(image.stage):
            continue
        is_named = image.arches & {word.arch for word in find_arch_words(image.stage.name)}
        if is_named and image.name is image.stage.base and image.stage is not analysis.file.stages[-1]:
            continue  # the stage's name says its architecture: intended, as with --platform
        if image.is_for_one_arch:
            text = f"{image.name.bare} is for {image.words[0].arch} only"
        elif not image.words and DEVICE_IMAGE.search(image.name.text):
            text = f"{image.name.bare} is for one kind of device only"
        else:
            continue
        yield make_finding(analysis.source, "arch-specific-base", image.name.span, text)
