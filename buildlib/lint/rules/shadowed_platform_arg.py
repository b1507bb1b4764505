"""shadowed-platform-arg (BL011): an ARG or ENV that replaces a platform argument of BuildKit by a constant."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.analysis import PLATFORM_ARGS, Analysis
from buildlib.lint.finding import Edit, Finding, make_finding
from buildlib.lint.parsing.source import Span


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check every ARG and ENV."""
    stages = analysis.file.stages
    for instruction in (*analysis.file.before, *(i for stage in stages for i in stage.instructions)):
        if instruction.kind not in ("arg", "env"):
            continue
        for name, value in instruction.pairs:
            if name.text not in PLATFORM_ARGS or value is None or (instruction.kind == "env" and "$" in value.text):
                continue
            if name.text in ("TARGETOS", "BUILDOS") and value.bare == "linux":
                continue  # images are for Linux on every platform that BuildKit builds for
            edits = (Edit(span=Span(name.span.end, value.span.end), text=""),) if instruction.kind == "arg" else ()
            text = f"{name.text} is always {value.bare} here, whatever platform is built"
            place = Span(name.span.start, value.span.end)
            yield make_finding(analysis.source, "shadowed-platform-arg", place, text, edits=edits)
