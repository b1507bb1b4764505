"""Findings, and the table of rules (rules/rules.toml)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from buildlib.lint.parsing.source import Source, Span

LINE_BREAK = re.compile(r"[ \t]*(?:\\?\r?\n|\r)[ \t]*")  # a message is one line, also if it quotes more of the file
SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule; users may write its name or its number. `severity` is the default."""

    name: str
    number: str
    severity: str
    summary: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A part of a mechanical fix: replace the bytes of `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem in a file. Lines and columns count from 1; the end column is the one after the last character."""

    file: str
    rule: str
    severity: str
    message: str
    help: str
    line: int
    column: int
    end_line: int
    end_column: int
    edits: tuple[Edit, ...] = ()


@cache
def rules() -> Mapping[str, Rule]:
    """All rules by name."""
    table = tomllib.loads(Path(__file__).parent.joinpath("rules", "rules.toml").read_text(encoding="utf-8"))
    return {name: Rule(name=name, **row) for name, row in table.items()}


def make_finding(
    source: Source, rule: str, span: Span, message: str, *, help: str = "", edits: tuple[Edit, ...] = ()
) -> Finding:
    """A finding of a rule at a place of the file, with the rule's severity, and the rule's help unless `help` is given."""
    row = rules()[rule]
    last = max(span.start, span.end - 1)
    return Finding(
        file=str(source.path), rule=rule, severity=row.severity, message=LINE_BREAK.sub(" ", message), help=help or row.help,
        line=source.line(span.start), column=source.column(span.start), end_line=source.line(last),
        end_column=source.column(last) + 1, edits=edits,
    )  # fmt: skip
