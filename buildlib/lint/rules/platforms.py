"""What a stage stands on: platforms that are written out, images of one architecture, and the platform of the last stage."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.analysis import CROSS_IMAGE, Look, words
from buildlib.lint.finding import Edit, Finding, found
from buildlib.lint.parsing.containerfile import Piece, Stage
from buildlib.lint.parsing.source import Span
from buildlib.lint.parsing.words import TRIPLE, find
from buildlib.lint.rules.downloads import mismatch

# Their images are for one device each, or for one architecture.
DEVICES = re.compile(r"^(?:docker\.io/)?(?:balenalib|resin)/[\w.:-]+$", re.IGNORECASE)


def check(look: Look) -> Iterator[Finding]:
    """hardcoded-platform, arch-specific-base, wrong-arch-mapping of bases, buildplatform-in-last-stage."""
    for stage in look.file.stages:
        yield from _platform(look, stage)
        yield from _base(look, stage)
        for instruction in stage.instructions:
            image = instruction.flag("from")
            if image and ("/" in image.text or ":" in image.text):
                yield from _image(look, stage, image)
    yield from _last(look)


def _platform(look: Look, stage: Stage) -> Iterator[Finding]:
    if not stage.platform or "$" in stage.platform.text:
        return
    told = {one.arch for one in words(Piece(f"/{stage.platform.text}", stage.platform.span))}
    guards = look.guard(stage)
    if wrong := mismatch(guards, told):
        yield found(look.source, "wrong-arch-mapping", stage.platform.span, f"{stage.platform.bare} for {wrong}")
    elif not guards and not told & {
        one.arch for one in find(stage.name)
    }:  # one that says so is meant to be (BuildKit's rule, too)
        text = f"the stage is of {stage.platform.bare}, whatever the image is built for"
        flag = Span(stage.platform.span.start - len("--platform="), stage.platform.span.end)
        gap = look.source.text[flag.end : flag.end + 1] == b" "
        edit = Edit(span=Span(flag.start, flag.end + gap), text="")
        yield found(look.source, "hardcoded-platform", flag, text, edits=(edit,))


def _base(look: Look, stage: Stage) -> Iterator[Finding]:
    if stage.parent is None:
        yield from _image(look, stage, stage.base)


def _image(look: Look, stage: Stage, image: Piece) -> Iterator[Finding]:
    """An image from elsewhere whose name says an architecture."""
    told = words(image)
    if look.is_stage(image):
        return
    if not told and DEVICES.search(image.text) and not look.guard(stage):
        yield found(look.source, "arch-specific-base", image.span, f"{image.bare} is for one kind of device alone")
    if not told or CROSS_IMAGE.search(image.text) or TRIPLE.search(image.text) or len({one.arch for one in told}) > 1:
        return
    guards = look.guard(stage)
    if wrong := mismatch(guards, {one.arch for one in told}):
        yield found(look.source, "wrong-arch-mapping", image.span, f"{image.bare} for {wrong}")
    elif not guards:
        text = f"{image.bare} is for {told[0].arch} alone"
        yield found(look.source, "arch-specific-base", image.span, text)


def _last(look: Look) -> Iterator[Finding]:
    if not look.file.stages:
        return
    stage = look.file.stages[-1]
    for one in look.file.line(stage):
        if one.platform and "BUILDPLATFORM" in one.platform.text and one.parent is None:
            flag = Span(one.platform.span.start - len("--platform="), one.platform.span.end)
            edits = (Edit(span=Span(flag.start, flag.end + 1), text=""),) if one is stage else ()
            text = "the image has programs of the platform that builds it"
            where = flag if one is stage else stage.base.span
            yield found(look.source, "buildplatform-in-last-stage", where, text, edits=edits)
