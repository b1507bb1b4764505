"""What Rust's test harness said, and what the record of a run adds to it: suites of cases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from signal import Signals
from typing import Any

from buildlib.core.plan import last_line

# A case's results, as libtest words them; the last two are what the harness adds.
PASSED, FAILED, IGNORED, TIMED_OUT, CRASHED = "passed", "failed", "ignored", "timed out", "crashed"
WORDS = {"ok": PASSED, "FAILED": FAILED, "ignored": IGNORED}
CASE = re.compile(r"^test (?P<name>.+?)(?: - should panic)? \.\.\. (?P<word>ok|FAILED|ignored)\b", re.MULTILINE)
# rustdoc names a doc test by its place: src/lib.rs - item (line 10), and what is to be done with it.
DOCUMENTED = re.compile(r"\(line \d+\)(?: - .+)?$")
RUNNING = re.compile(r"^running \d+ tests?$", re.MULTILINE)
SLOW = re.compile(r"^test (.+) has been running for over \d+ seconds$", re.MULTILINE)
HASH = re.compile(r"-[0-9a-f]{16}$")
SILENT = "it ended without a word"
DETAIL = 4000  # characters of a failed test's output that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test. `detail` is what it said where it did not pass."""

    name: str
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The tests of one binary, or all doc tests. `broken` is the emulator's last word, where it ended the run and not a test;
    `recovered` where it did so once, and the second run came to its end."""

    name: str
    cases: tuple[Case, ...]
    seconds: float = 0.0
    broken: str = ""
    recovered: str = ""

    def count(self, *results: str) -> int:
        return sum(case.result in results for case in self.cases)


def read(record: str, stdout: str) -> tuple[Suite, ...]:
    """The suites of a run. `record` has a line of JSON for each binary, `stdout` is all that cargo said; without a record all
    is taken from there."""
    runs = [json.loads(line) for line in record.splitlines()]
    suites = _together((run["binary"], suite) for run in runs if (suite := _suite(run)))
    cases = _cases(stdout)
    rest = tuple(case for case in cases if DOCUMENTED.search(case.name)) if runs else cases
    return (*suites, *((Suite(name="doc-tests" if runs else "tests", cases=rest),) if rest else ()))


def _together(told: Iterable[tuple[str, Suite]]) -> tuple[Suite, ...]:
    """One suite a binary: nextest starts each as often as it has tests."""
    found: dict[str, Suite] = {}
    for binary, suite in told:
        before = found.get(binary)
        found[binary] = suite if before is None else Suite(
            name=suite.name, cases=before.cases + suite.cases, seconds=round(before.seconds + suite.seconds, 3),
            broken=before.broken or suite.broken, recovered=before.recovered or suite.recovered,
        )  # fmt: skip
    return tuple(found.values())


def _suite(run: Mapping[str, Any]) -> Suite | None:
    """None for a doc test's binary: rustdoc names it in cargo's own output."""
    path = PurePath(run["binary"])
    if any(part.startswith("rustdoctest") for part in path.parts):
        return None
    name, cases = HASH.sub("", path.name), _cases(run["stdout"])
    alone = _alone(run)
    if alone:  # what it says stands between libtest's words; its exit code says the rest
        cases = () if run["code"] else (Case(name=alone, result=PASSED),)
    broken = (last_line(run["stderr"]) or SILENT) if run["crash"] == "emulator" else ""
    recovered = run["crashes"][0] if run["crashes"] and not broken else ""
    if run["hung"] or run["crash"] == "program":
        cases = (*cases, *_cut_short(run, name, cases, alone))
    elif run["code"] and not broken and not any(case.result == FAILED for case in cases):
        detail = run["stdout"] + run["stderr"] if alone else f"exit code {run['code']}\n{run['stderr']}"
        cases = (*cases, Case(name=alone or name, result=FAILED, detail=detail[-DETAIL:]))
    elif not (cases or broken) and not RUNNING.search(run["stdout"]):
        cases = (Case(name=name, result=PASSED),)  # a harness of its own, which is one test
    return Suite(name=name, cases=cases, seconds=run["seconds"], broken=broken, recovered=recovered)


def _alone(run: Mapping[str, Any]) -> str:
    """The one test that nextest had the binary run, "" for another run."""
    args = [*run["args"], ""]
    return args[args.index("--exact") + 1] if "--exact" in args and "--nocapture" in args else ""


def _cut_short(run: Mapping[str, Any], name: str, cases: Iterable[Case], alone: str = "") -> tuple[Case, ...]:
    """The tests that were running when the binary was ended, or ended itself. libtest starts them in the order in which it lists
    them, as many at a time as there are threads, and says of one only when it is over."""
    if run["hung"]:
        result, told = TIMED_OUT, "no test finished any more"
    else:
        number = -run["code"] if run["code"] < 0 else run["code"] - 128
        result, told = CRASHED, _signal(number)
    over = {case.name for case in cases}
    running = [alone] if alone else [test for test in run["listed"] if test not in over][: _threads(run)]
    slow = [test for test in SLOW.findall(run["stdout"]) if test in running]
    detail = f"{told}\n{run['stderr']}"[:DETAIL]
    return tuple(Case(name=test, result=result, detail=detail) for test in slow or running or [name])


def _threads(run: Mapping[str, Any]) -> int:
    for word, value in pairwise((*run["args"], "")):
        told = word.partition("=")[2] or value if word.partition("=")[0] == "--test-threads" else ""
        if told.isdigit():
            return int(told)
    return int(run["threads"])


def _signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"exit code {number + 128}"


def _cases(stdout: str) -> tuple[Case, ...]:
    found = ((case["name"], WORDS[case["word"]]) for case in CASE.finditer(stdout))
    return tuple(
        Case(name=name, result=result, detail=_said(stdout, name) if result == FAILED else "") for name, result in found
    )


def _said(stdout: str, name: str) -> str:
    """What a failed test said, from the block that libtest prints at the end."""
    found = re.search(
        rf"^---- {re.escape(name)} stdout ----\n(.*?)(?=^---- |^failures:|\Z)", stdout, re.MULTILINE | re.DOTALL
    )
    return found[1].strip()[:DETAIL] if found else ""
