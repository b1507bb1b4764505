"""arch-specific-base (BL003): a base image for one architecture."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.base_images import external_images
from buildlib.lint.finding import Finding, make_finding

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
        if image.is_for_one_arch:
            text = f"{image.name.bare} is for {image.words[0].arch} only"
        elif not image.words and DEVICE_IMAGE.search(image.name.text):
            text = f"{image.name.bare} is for one kind of device only"
        else:
            continue
        yield make_finding(analysis.source, "arch-specific-base", image.name.span, text)
