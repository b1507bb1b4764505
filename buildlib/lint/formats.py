"""Findings as text, JSON, SARIF and annotations of GitHub Actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, TypedDict
from urllib.parse import quote

from buildlib import __version__
from buildlib.display.escaping import command_data, command_property, one_line
from buildlib.lint.finding import SEVERITIES, Finding, rules

FORMATS = ("text", "json", "sarif", "github")
SARIF_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
GITHUB_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}
# GitHub rejects a run with more results, and shows the first 5,000: docs.github.com, "SARIF results exceed one or more limits".
MOST_RESULTS = 25_000
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def text_lines(findings: Iterable[Finding]) -> list[str]:
    """Two lines for each finding: the place with the message, and the help."""
    lines = []
    for finding in findings:
        place = f"{finding.file}:{finding.line}:{finding.column}"
        text = f"{place}: {finding.severity}: {finding.message} [{finding.rule}]"
        lines += [one_line(text), f"  help: {one_line(finding.help)}"]
    return lines


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
    """The findings for `--format json`."""
    return [
        {
            "file": finding.file, "line": finding.line, "end_line": finding.end_line, "column": finding.column,
            "end_column": finding.end_column, "rule": finding.rule, "number": rules()[finding.rule].number,
            "severity": finding.severity, "message": finding.message, "help": finding.help, "fixable": bool(finding.edits),
        }
        for finding in findings
    ]  # fmt: skip


def github_commands(findings: Iterable[Finding]) -> list[str]:
    """One workflow command for each finding, which GitHub Actions shows as an annotation."""
    commands = []
    for finding in findings:
        place = (
            f"file={command_property(finding.file)},line={finding.line},endLine={finding.end_line},col={finding.column}"
        )
        command = f"::{GITHUB_COMMANDS[finding.severity]} {place},title={command_property(finding.rule)}::"
        commands.append(command + command_data(f"{finding.message}; {finding.help}"))
    return commands


def sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """A SARIF 2.1.0 log, for code scanning.

    Of more findings than GitHub accepts, the most severe are in it, and a notification says how many are not. They are in the order of
    their severity, because GitHub shows the first 5,000 only.
    """
    table = list(rules().values())
    driver = {
        "name": "buildlib", "version": __version__,
        "rules": [
            {
                "id": rule.number, "name": rule.name, "shortDescription": {"text": rule.summary}, "help": {"text": rule.help},
                "defaultConfiguration": {"level": SARIF_LEVELS[rule.severity]},
            }
            for rule in table
        ],
    }  # fmt: skip
    indexes = {rule.name: index for index, rule in enumerate(table)}
    ordered = sorted(
        findings, key=lambda finding: SEVERITIES.index(finding.severity)
    )  # stable: else the order of the lines
    results = [_result(finding, indexes[finding.rule]) for finding in ordered[:MOST_RESULTS]]
    run: dict[str, Any] = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    if left := len(ordered) - len(results):
        text = f"{left} findings are left out, because code scanning accepts {MOST_RESULTS} results"
        notification = {"level": "warning", "message": {"text": text}}
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": [notification]}]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, index: int) -> dict[str, Any]:
    region = {
        "startLine": finding.line, "startColumn": finding.column, "endLine": finding.end_line, "endColumn": finding.end_column,
    }  # fmt: skip
    location = {"artifactLocation": {"uri": _uri(finding.file)}, "region": region}
    return {
        "ruleId": rules()[finding.rule].number, "ruleIndex": index, "level": SARIF_LEVELS[finding.severity],
        "message": {"text": f"{finding.message}; {finding.help}"}, "locations": [{"physicalLocation": location}],
    }  # fmt: skip


@lru_cache(maxsize=1024)
def _uri(path: str) -> str:
    path = path.replace("\\", "/").removeprefix("./")
    return f"file://{quote(path)}" if path.startswith("/") else quote(path)
