"""not-read (BL014): text of a Dockerfile that cannot be parsed, so that no rule has checked it."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding, make_finding

LONGEST = 40  # characters of the text in a message


def check(analysis: Analysis) -> Iterator[Finding]:
    """Report what the grammar of Dockerfiles cannot parse, and the first such place of each script.

    After its first error a parser often reports more.
    """
    scripts = (script for _, _, script in analysis.runs() if script.unparsed)
    for span in (*analysis.file.unparsed, *(script.unparsed[0] for script in scripts)):
        if text := analysis.source.text_at(span).strip():
            message = f"cannot parse {text.splitlines()[0][:LONGEST]!r}"
            yield make_finding(analysis.source, "not-read", span, message)
