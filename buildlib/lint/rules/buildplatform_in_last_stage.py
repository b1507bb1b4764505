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
    """Check the platform of the last stage, which the first of its ancestors determines."""
    if not analysis.file.stages:
        return
    last = analysis.file.stages[-1]
    names = [last.name] + ([analysis.file.stages[last.parent].name] if last.parent is not None else [])
    if any(map(CHECK.match, names)):
        return
    for stage in analysis.file.ancestry(last):
        if stage.platform and "BUILDPLATFORM" in stage.platform.text and stage.parent is None:
            flag = Span(stage.platform.span.start - len("--platform="), stage.platform.span.end)
            edits = (Edit(span=Span(flag.start, flag.end + 1), text=""),) if stage is last else ()
            place = flag if stage is last else last.base.span
            text = "the image contains programs for the build platform"
            yield make_finding(analysis.source, "buildplatform-in-last-stage", place, text, edits=edits)
