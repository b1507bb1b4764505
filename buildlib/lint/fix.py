"""Cures that need no thought."""

from __future__ import annotations

from collections.abc import Iterable

from buildlib.lint.finding import Finding


def fixed(data: bytes, findings: Iterable[Finding]) -> bytes:
    """The file with the edits of these findings; each edit once, and none that another one overlaps."""
    edits = sorted({(*edit.span, edit.text) for one in findings for edit in one.edits})
    told, at = b"", 0
    for start, end, text in edits:
        if start >= at:
            told += data[at:start] + text.encode()
            at = end
    return told + data[at:]
