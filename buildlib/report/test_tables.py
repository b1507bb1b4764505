"""Results of tests, smoke tests and benchmarks, for users and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildlib.core.cases import CRASHED, FAILED, HOST, IGNORED, PASSED, TIMED_OUT
from buildlib.process.console import Console
from buildlib.report.reply import reply
from buildlib.testing import benches as bench_reports
from buildlib.testing import counts
from buildlib.testing import tests as test_reports
from buildlib.testing.benches import BenchResult
from buildlib.testing.tests import TestResult

if TYPE_CHECKING:
    from buildlib.report import results as data


def tests(console: Console, results: Sequence[TestResult], *, as_json: bool) -> None:
    """Print the results of `test` and `smoke`: one row per target, and every case that did not pass."""
    if as_json:
        elements: list[data.TestData] = [{**test_reports.report(r), **reply([r.error])} for r in results]
        console.json(elements)
        return
    shown = [result for result in results if not result.planned]
    rows = [
        (
            r.target.name, str(r.ran_on.get("machine", "nowhere")), r.emulator or "native", str(r.count(PASSED)),
            str(r.count(FAILED, TIMED_OUT, CRASHED)), str(r.count(IGNORED)), f"{r.seconds:.1f} s",
            "failed" if r.error else "passed",
        )
        for r in shown
    ]  # fmt: skip
    if rows:
        head = ("arch", "ran on", "emulator", "passed", "failed", "ignored", "time", "status")
        console.table(head, rows, important=("arch", "status", "failed", "passed", "time"))
    for result in shown:
        _failures(console, result)
        if names := [suite.name for suite in result.suites if suite.ran_on == HOST]:
            console.line(f"{result.target.name}: on the host, for which cargo compiles proc macros: {', '.join(names)}")


def _failures(console: Console, result: TestResult) -> None:
    for suite in result.suites:
        for case in suite.cases:
            if case.result not in (PASSED, IGNORED):
                (why, *_) = case.detail.splitlines() or [""]
                reason = f" ({why})" if why and case.result != FAILED else ""
                console.failure(f"{result.target.name} · {suite.name} · {case.name}: {case.result}{reason}")
        if suite.broken:
            console.line(f"! {result.target.name} · {suite.name}: the emulator crashed twice: {suite.broken}")
        elif suite.recovered:
            crash = f"the emulator crashed once, the second run counts: {suite.recovered}"
            console.line(f"! {result.target.name} · {suite.name}: {crash}")


def benches(console: Console, results: Sequence[BenchResult], *, as_json: bool) -> None:
    """Print the instructions per iteration, the plain implementation compared with the others.

    criterion has printed its own results.
    """
    if as_json:
        elements: list[data.BenchData] = [{**bench_reports.report(r), **reply([r.error])} for r in results]
        console.json(elements)
        return
    rows = [
        (
            result.target.name,
            row.name,
            f"{row.plain:,.0f}",
            row.path,
            f"{row.other:,.0f}",
            f"{row.times:.2f} times fewer",
        )
        for result in results
        for row in counts.rows(result.counted)
    ]
    if rows:
        head = ("arch", "body", "plain", "path", "instructions", "ratio")
        console.table(head, rows, important=("arch", "body", "ratio"))
    for result in results:
        if not any(counts.PLAIN in name.split("/") for name in result.counted):
            for name, value in result.counted.items():
                console.line(f"{result.target.name} · {name}: {value:,.0f} instructions")
        for name in result.uncounted:
            console.line(f"{result.target.name} · {name}: each body ran once: it does not read {counts.ITERATIONS}")
