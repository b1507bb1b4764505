"""The rules of rules/*.toml as data: which lines of a log are failures, of which class, with which help.

A file has the words of one tool. What several tools mean alike is a rule with a name in shared.toml, without words of its own;
their files add them: [[phrases]] with `of`, the name. Pure, apart from reading the rule files once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from buildlib.core.targets import TARGETS

RULES = Path(__file__).with_name("rules")
PLACEHOLDER = re.compile(r"\{(\w+)\}")  # in a help text: a named group of one of the rule's patterns


@dataclass(frozen=True, slots=True)
class Rule:
    """One [[rule]] of rules/*.toml.

    A rule matches a line that contains one of `phrases` (in lower case; the line's case does not matter), in which `pattern`
    finds something, if there is one, and `unless` finds nothing; `above` and `below`, if there are any, must find something in
    the lines above and below it (without blank lines). Of the rules that match a line the one with the lowest `order` reads it:
    below 120 test runners, 200 limits of the machine, 910 statements of one tool, 1740 what this machine lacks, 1870 refusals,
    2020 cargo's command, 2140 what does not exist, 2190 usage, 2410 compilers, 2550 the network, then details.

    `reason` in the files says what the messages mean, `source` where they are: files and functions of a repository, which was
    read as [versions] says; `observed` in a program that prints or contains them; `unconfirmed` were not found in either.

    `yields_to` names classes: an earlier line of one of them, in the same step, is the cause, and this line only repeats that
    something failed. A `detail` is such a cause and nothing else: alone it is no failure. The first `diagnostic` of a compiler, or
    of a test runner, is the cause of those that follow. With `output_below`, this line says that a process failed whose output is
    below it. `fault` says who can fix the failure: "machine" if this machine lacks something, "command" if cargo refused the
    command before it compiled anything, "" in all other cases.

    Named groups of the patterns fill the `{placeholders}` of `help`; `before`, `after` and `rest` (of the sentence)
    belong to the cause.
    """

    kind: str
    phrases: tuple[str, ...]
    pattern: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    above: re.Pattern[str] | None = None
    below: re.Pattern[str] | None = None
    yields_to: tuple[str, ...] = ()
    detail: bool = False
    diagnostic: bool = False
    output_below: bool = False
    fault: str = ""
    help: str = ""

    def match(self, text: str, lines_above: Callable[[], str], lines_below: Callable[[], str]) -> dict[str, str] | None:
        """The named groups of the patterns if they allow this line, which contains one of the phrases; None if they do not."""
        if self.unless and self.unless.search(text):
            return None
        groups: dict[str, str] = {}
        searched: tuple[tuple[re.Pattern[str] | None, Callable[[], str]], ...] = (
            (self.pattern, lambda: text), (self.above, lines_above), (self.below, lines_below)
        )  # fmt: skip
        for pattern, lines in searched:
            if pattern is None:
                continue
            found = pattern.search(lines())
            if found is None:
                return None
            groups |= {name: value for name, value in found.groupdict().items() if value}
        return groups

    def help_for(self, groups: Mapping[str, str]) -> str:
        """The help text with the groups filled in. What the log does not say is shown as <name>."""
        values = {**groups, **_names(groups.get("target", ""))}
        if "gnu" in groups:  # the GNU triplet in a tool's name
            values["debian_gnu"] = groups["gnu"].replace("_", "-")
        return PLACEHOLDER.sub(lambda match: values.get(match[1]) or f"<{match[1].strip('_')}>", self.help)


def _names(triple: str) -> dict[str, str]:
    """Other names of a target: `target_` as in environment variables, `arch` as in Debian's packages, `gnu` as in its paths."""
    target = next((row for row in TARGETS.values() if row.triple == triple), None)
    names = {"target_": triple.replace("-", "_")}
    return names | {"arch": target.debian, "gnu": target.gnu} if target else names


def rule_tables() -> list[dict[str, Any]]:
    """The tables of all rules, in order; those of shared.toml have the phrases and sources of all tools."""
    files = [
        tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(RULES.iterdir()) if path.suffix == ".toml"
    ]
    tables: list[dict[str, Any]] = [table for file in files for table in file.get("rule", ())]
    named: dict[str, dict[str, list[str]]] = {
        table["name"]: {"phrases": [], "source": []} for table in tables if "name" in table
    }
    for words in (words for file in files for words in file.get("phrases", ())):
        named[words["of"]]["phrases"] += words["phrases"]
        named[words["of"]]["source"] += words["source"]
    return sorted((table | named.get(table.get("name", ""), {}) for table in tables), key=lambda table: table["order"])


@cache
def rules() -> tuple[Rule, ...]:
    """All rules in order, read once."""
    return tuple(
        Rule(
            kind=table["class"], phrases=tuple(table["phrases"]), pattern=_pattern(table.get("pattern")),
            unless=_pattern(table.get("unless")), above=_pattern(table.get("above")), below=_pattern(table.get("below")),
            yields_to=tuple(table.get("yields_to", ())), detail=table.get("detail", False),
            diagnostic=table.get("diagnostic", False), output_below=table.get("output_below", False),
            fault=table.get("fault", ""), help=table.get("help", ""),
        )
        for table in rule_tables()
    )  # fmt: skip


def _pattern(text: str | list[str] | None) -> re.Pattern[str] | None:
    """Compile a pattern, which may be written as a list of parts."""
    return re.compile(text if isinstance(text, str) else "".join(text), re.IGNORECASE) if text else None
