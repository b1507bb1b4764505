"""Suites of cases, from the output of Rust's test harness and from the record that the test runner writes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path, PurePath
from signal import Signals
from typing import Any

from buildlib.core.cases import CRASHED, FAILED, IGNORED, PASSED, TIMED_OUT, Case, Suite
from buildlib.core.plan import last_line

WORDS = {"ok": PASSED, "FAILED": FAILED, "ignored": IGNORED}
CASE = re.compile(r"^test (?P<name>.+?)(?: - should panic)? \.\.\. (?P<word>ok|FAILED|ignored)\b", re.MULTILINE)
# rustdoc names a doc test by its place, src/lib.rs - item (line 10), and by its attributes.
DOC_TEST = re.compile(r"\(line \d+\)(?: - .+)?$")
RUNNING = re.compile(r"^running \d+ tests?$", re.MULTILINE)
SLOW = re.compile(r"^test (.+) has been running for over \d+ seconds$", re.MULTILINE)
HASH = re.compile(r"-[0-9a-f]{16}$")
DETAIL = 4000  # characters of a failed test's output that are kept


def read(record: str, stdout: str, root: Path = Path()) -> tuple[Suite, ...]:
    """The suites of a run.

    `record` has a line of JSON for each binary, `stdout` is the whole output of cargo. Doc tests are read from `stdout`, and what is
    not in the record: all of it where the user's own runner starts the tests. `root` is the workspace's.
    """
    runs = [json.loads(line) for line in record.splitlines()]
    suites = _merged((run["binary"], suite) for run in runs if (suite := _suite(run)))
    cases = _cases(stdout)
    if not runs:
        return (Suite(name="tests", cases=cases),) if cases else ()
    doc_tests = tuple(case for case in cases if DOC_TEST.search(case.name))
    known = {case.name for suite in suites for case in suite.cases} | {case.name for case in doc_tests}
    again = any(suite.broken or suite.recovered for suite in suites)  # stdout has the output of two runs
    others = tuple(case for case in cases if case.name not in known and not again)
    return (*suites, *((Suite(name="tests", cases=others),) if others else ()),
            *_doc_tests(doc_tests, {run["cwd"]: run["ran_on"] for run in runs if _is_doc_test(run)}, root))  # fmt: skip


def _doc_tests(cases: tuple[Case, ...], packages: Mapping[str, str], root: Path) -> Iterable[Suite]:
    """A suite for the doc tests that ran on the target, and one for those of proc macros, which ran on the host.

    `packages` maps the directory of a package to where its doc tests ran. rustdoc names a doc test by its file, from `root` on.
    """
    places: dict[str, list[Case]] = {}
    for case in cases:
        path = os.path.realpath(root / case.name.partition(" - ")[0])
        folders = [folder for folder in packages if path.startswith(f"{folder}/")]
        places.setdefault(packages[max(folders, key=len)] if folders else "", []).append(case)
    return (Suite(name="doc-tests", cases=tuple(places[place]), ran_on=place) for place in sorted(places))


def _is_doc_test(run: Mapping[str, Any]) -> bool:
    return any(part.startswith("rustdoctest") for part in PurePath(run["binary"]).parts)


def _merged(runs: Iterable[tuple[str, Suite]]) -> tuple[Suite, ...]:
    """One suite for each binary: nextest starts a binary once for each of its tests."""
    suites: dict[str, Suite] = {}
    for binary, suite in runs:
        before = suites.get(binary)
        suites[binary] = suite if before is None else Suite(
            name=suite.name, cases=before.cases + suite.cases, seconds=round(before.seconds + suite.seconds, 3),
            broken=before.broken or suite.broken, recovered=before.recovered or suite.recovered, ran_on=suite.ran_on,
            stderr=before.stderr + suite.stderr,
        )  # fmt: skip
    return tuple(suites.values())


def _suite(run: Mapping[str, Any]) -> Suite | None:
    """The suite of a line of the record; None for a doc test's binary, which rustdoc names in cargo's own output."""
    if _is_doc_test(run):
        return None
    path = PurePath(run["binary"])
    name, cases = HASH.sub("", path.name), _cases(run["stdout"])
    single = _single_test(run)
    if single:  # its output stands between libtest's words; the exit code says whether it passed
        cases = () if run["code"] else (Case(name=single, result=PASSED),)
    broken = (last_line(run["stderr"]) or _silent(run["code"])) if run["crash"] == "emulator" else ""
    recovered = run["crashes"][0] if run["crashes"] and not broken else ""
    if run["hung"] or run["crash"] == "program":
        cases = (*cases, *_unfinished(run, name, cases, single))
    elif run["code"] and not broken and not any(case.result == FAILED for case in cases):
        detail = run["stdout"] + run["stderr"] if single else f"exit code {run['code']}\n{run['stderr']}"
        cases = (*cases, Case(name=single or name, result=FAILED, detail=detail[-DETAIL:]))
    elif not (cases or broken) and not RUNNING.search(run["stdout"]):
        cases = (Case(name=name, result=PASSED),)  # another harness than libtest: the binary is one test
    stderr = run["stderr"] if any(case.result == FAILED for case in cases) else ""
    return Suite(name=name, cases=cases, seconds=run["seconds"], broken=broken, recovered=recovered, ran_on=run["ran_on"],
                 stderr=stderr)  # fmt: skip


def _silent(code: int) -> str:
    return f"ended by signal {-code} with no output" if code < 0 else f"exited with code {code} and no output"


def _single_test(run: Mapping[str, Any]) -> str:
    """The test that nextest started the binary for, "" for another run."""
    args = [*run["args"], ""]
    return args[args.index("--exact") + 1] if "--exact" in args and "--nocapture" in args else ""


def _unfinished(run: Mapping[str, Any], name: str, cases: Iterable[Case], single: str) -> tuple[Case, ...]:
    """The tests that were running when the binary was killed or crashed.

    libtest starts tests in the order in which it lists them, as many at a time as there are threads, and prints one only when it
    is finished.
    """
    if run["hung"]:
        result, reason = TIMED_OUT, "no test finished within the timeout"
    else:
        number = -run["code"] if run["code"] < 0 else run["code"] - 128
        result, reason = CRASHED, _signal(number)
    finished = {case.name for case in cases}
    running = [single] if single else [test for test in run["listed"] if test not in finished][: _threads(run)]
    slow = [test for test in SLOW.findall(run["stdout"]) if test in running]
    detail = f"{reason}\n{run['stderr']}"[:DETAIL]
    return tuple(Case(name=test, result=result, detail=detail) for test in slow or running or [name])


def _threads(run: Mapping[str, Any]) -> int:
    for word, following in pairwise((*run["args"], "")):
        flag, _, value = word.partition("=")
        number = (value or following) if flag == "--test-threads" else ""
        if number.isdigit():
            return int(number)
    return int(run["threads"])


def _signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"exit code {number + 128}"


def _cases(stdout: str) -> tuple[Case, ...]:
    results = ((match["name"], WORDS[match["word"]]) for match in CASE.finditer(stdout))
    return tuple(
        Case(name=name, result=result, detail=_failure_output(stdout, name) if result == FAILED else "")
        for name, result in results
    )


def _failure_output(stdout: str, name: str) -> str:
    """The output of a failed test, from the block that libtest prints at the end."""
    block = re.search(
        rf"^---- {re.escape(name)} stdout ----\n(.*?)(?=^---- |^failures:|\Z)", stdout, re.MULTILINE | re.DOTALL
    )
    return block[1].strip()[:DETAIL] if block else ""
