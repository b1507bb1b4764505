"""arch-specific-file (BL017): a Dockerfile whose name or directory says that it is for one architecture."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.arch_words import machine_of


def check(analysis: Analysis) -> Iterator[Finding]:
    """Report it once, at the first FROM. What is in the file is right for that architecture."""
    machine = machine_of(analysis.source.arches)
    if machine and analysis.file.stages:
        first = analysis.file.stages[0].head
        text = f"by its name, this Dockerfile is for {machine} only"
        yield make_finding(analysis.source, "arch-specific-file", first.span, text)
