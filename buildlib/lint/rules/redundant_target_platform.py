"""redundant-target-platform (BL016): FROM --platform=$TARGETPLATFORM, which is the default."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Edit, Finding, make_finding
from buildlib.lint.parsing.source import Span

TARGET = re.compile(r"\$(?:TARGETPLATFORM|\{TARGETPLATFORM(?::?-[^{}]*)?\})")


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the platform of each stage whose base is an image; a stage has a platform already."""
    for stage in analysis.file.stages:
        if stage.platform is None or not TARGET.fullmatch(stage.platform.bare):
            continue
        flag = Span(stage.platform.span.start - len("--platform="), stage.platform.span.end)
        space = analysis.source.text[flag.end : flag.end + 1] == b" "
        edit = Edit(span=Span(flag.start, flag.end + space), text="")
        text = "the platform of the target is the default of FROM"
        yield make_finding(analysis.source, "redundant-target-platform", flag, text, edits=(edit,))
