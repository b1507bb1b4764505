"""buildplatform-in-last-stage (BL009): the last stage, which becomes the image, is for the build platform."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Edit, Finding, make_finding
from buildlib.lint.parsing.source import Span

# Stages that run a tool, or whose result is copied out; nobody starts their images.
CHECK = re.compile(
    r"^(?:lint|test|validate|check|verify|fmt|format|vet|docs?|vendor|generate[ds]?|update)(?:[-_].*)?$", re.IGNORECASE
)


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the platform of the last stage, which its first ancestor determines: each of those that a variable may choose."""
    for_build: list[bool] = []  # by number
    for stage in analysis.file.stages:
        parents = analysis.possible_parents(stage)
        own = stage.platform is not None and "BUILDPLATFORM" in stage.platform.text
        for_build.append(all(for_build[number] for number in parents) if parents else own)
    if not for_build or not for_build[-1]:
        return
    last = analysis.file.stages[-1]
    parents = analysis.possible_parents(last)
    if any(CHECK.match(name) for name in (last.name, *(analysis.file.stages[number].name for number in parents))):
        return
    place, edits = last.base.span, tuple[Edit, ...]()
    if last.platform and not parents:
        place = Span(last.platform.span.start - len("--platform="), last.platform.span.end)
        edits = (Edit(span=Span(place.start, place.end + 1), text=""),)
    text = "the image contains programs for the build platform"
    yield make_finding(analysis.source, "buildplatform-in-last-stage", place, text, edits=edits)
