"""hardcoded-platform (BL002): FROM --platform with a constant."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.base_images import constant_platform
from buildlib.lint.finding import Edit, Finding, make_finding
from buildlib.lint.parsing.arch_words import OTHER_SYSTEM, find_arch_words
from buildlib.lint.parsing.source import Span


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the platform of each stage."""
    for stage in analysis.file.stages:
        platform = constant_platform(stage)
        if platform is None or analysis.stage_guards(stage):
            continue
        value, arches = platform
        if OTHER_SYSTEM.search(value.bare):
            continue  # windows/amd64, darwin/arm64: not one of the platforms of an image for Linux
        if arches & {word.arch for word in find_arch_words(stage.name)}:
            continue  # the stage's name says its platform: intended, as in BuildKit's rule FromPlatformFlagConstDisallowed
        flag = Span(value.span.start - len("--platform="), value.span.end)
        space = analysis.source.text[flag.end : flag.end + 1] == b" "
        edit = Edit(span=Span(flag.start, flag.end + space), text="")
        text = f"the stage is always for {value.bare}, whatever platform is built"
        yield make_finding(analysis.source, "hardcoded-platform", flag, text, edits=(edit,))
