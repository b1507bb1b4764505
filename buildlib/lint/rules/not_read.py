"""not-read (BL014): text of a Dockerfile that cannot be parsed, so that no rule has checked it."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding, make_finding

LONGEST = 40  # characters of the text in a message
MOST = 20  # places of a file; where more cannot be parsed, it is not the single place that matters


def check(analysis: Analysis) -> Iterator[Finding]:
    """Report what the grammar of Dockerfiles cannot parse, and the first such place of each script.

    After its first error a parser often reports more. A file of another kind, such as a program or a page of HTML, is one finding.
    """
    scripts = (script for _, _, script in analysis.runs() if script.unparsed)
    spans = [*analysis.file.unparsed, *(script.unparsed[0] for script in scripts)]
    places = [(span, text) for span in spans if (text := analysis.source.text_at(span).strip())]
    if len(places) > 1 and not analysis.file.stages:
        message = f"not a Dockerfile: it has no FROM, and {len(places)} places that cannot be parsed"
        yield make_finding(analysis.source, "not-read", places[0][0], message)
        return
    for number, (span, text) in enumerate(places[:MOST], 1):
        left = len(places) - MOST if number == MOST else 0
        more = f", nor {left} more place{'' if left == 1 else 's'}" if left > 0 else ""
        message = f"cannot parse {text.splitlines()[0][:LONGEST]!r}{more}"
        yield make_finding(analysis.source, "not-read", span, message)
