"""buildplatform-in-last-stage (BL009): the last stage, which becomes the image, is for the build platform."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Edit, Finding, make_finding
from buildlib.lint.parsing.source import Span


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the platform of the last stage, which the first of its ancestors determines."""
    if not analysis.file.stages:
        return
    last = analysis.file.stages[-1]
    for stage in analysis.file.ancestry(last):
        if stage.platform and "BUILDPLATFORM" in stage.platform.text and stage.parent is None:
            flag = Span(stage.platform.span.start - len("--platform="), stage.platform.span.end)
            edits = (Edit(span=Span(flag.start, flag.end + 1), text=""),) if stage is last else ()
            place = flag if stage is last else last.base.span
            text = "the image contains programs for the build platform"
            yield make_finding(analysis.source, "buildplatform-in-last-stage", place, text, edits=edits)
