"""Findings as text, JSON, SARIF and annotations of GitHub's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

from buildlib import __version__
from buildlib.lint.finding import Finding, rules

FORMATS = ("text", "json", "sarif", "github")
LEVELS = {"error": "error", "warning": "warning", "info": "note"}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def plain(findings: Iterable[Finding]) -> list[str]:
    """Two lines a finding: where and what, and the cure."""
    told = []
    for one in findings:
        told += [
            f"{one.file}:{one.line}:{one.column}: {one.severity}: {one.message} [{one.rule}]", f"  help: {one.help}",
        ]  # fmt: skip
    return told


class FindingData(TypedDict):
    """`lint --format json`: one element per finding. Lines and columns count from 1."""

    file: str
    line: int
    end_line: int
    column: int
    end_column: int
    rule: str
    number: str
    severity: str
    message: str
    help: str
    fixable: bool


def as_data(findings: Iterable[Finding]) -> list[FindingData]:
    """For programs."""
    return [
        {
            "file": one.file, "line": one.line, "end_line": one.end_line, "column": one.column, "end_column": one.end_column,
            "rule": one.rule, "number": rules()[one.rule].number, "severity": one.severity, "message": one.message,
            "help": one.help, "fixable": bool(one.edits),
        }
        for one in findings
    ]  # fmt: skip


def github(findings: Iterable[Finding]) -> list[str]:
    """Workflow commands, which become annotations."""
    return [
        f"::{LEVELS[one.severity].replace('note', 'notice')} file={_property(one.file)},line={one.line},endLine={one.end_line},"
        f"col={one.column},title={one.rule}::{_data(f'{one.message}; {one.help}')}"
        for one in findings
    ]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif(findings: Sequence[Finding]) -> str:
    """SARIF 2.1.0, as code scanning takes it."""
    table = list(rules().values())
    driver = {
        "name": "buildlib", "version": __version__,
        "rules": [
            {
                "id": rule.number, "name": rule.name, "shortDescription": {"text": rule.summary}, "help": {"text": rule.help},
                "defaultConfiguration": {"level": LEVELS[rule.severity]},
            }
            for rule in table
        ],
    }  # fmt: skip
    results = [_result(one, [rule.name for rule in table].index(one.rule)) for one in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _result(one: Finding, index: int) -> dict[str, Any]:
    region = {"startLine": one.line, "startColumn": one.column, "endLine": one.end_line, "endColumn": one.end_column}
    place = {"artifactLocation": {"uri": one.file.replace("\\", "/")}, "region": region}
    return {
        "ruleId": rules()[one.rule].number, "ruleIndex": index, "level": LEVELS[one.severity],
        "message": {"text": f"{one.message}; {one.help}"}, "locations": [{"physicalLocation": place}],
    }  # fmt: skip
