"""Apply mechanical fixes."""

from __future__ import annotations

from collections.abc import Iterable

from buildlib.lint.finding import Finding


def apply_edits(data: bytes, findings: Iterable[Finding]) -> bytes:
    """The file with the edits of the findings: each edit once, and none that overlaps an earlier one."""
    edits = sorted({(*edit.span, edit.text) for finding in findings for edit in finding.edits})
    parts, end = [], 0
    for edit_start, edit_end, text in edits:
        if edit_start >= end:
            parts += [data[end:edit_start], text.encode()]
            end = edit_end
    return b"".join([*parts, data[end:]])
