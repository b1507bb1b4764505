"""What tests, images and benches came to, for a person and for programs. Beside report.py, for no build wants any of it."""

from __future__ import annotations

from collections.abc import Sequence

from buildlib import benching, counts, testing
from buildlib.benching import Benched
from buildlib.console import Console
from buildlib.libtest import CRASHED, FAILED, IGNORED, PASSED, TIMED_OUT
from buildlib.testing import Tested


def tested(console: Console, results: Sequence[Tested], *, as_json: bool) -> None:
    """What came of tests: a row a target, and what did not pass."""
    if as_json:
        return console.json([testing.told(result) for result in results])
    shown = [result for result in results if not result.planned]
    rows = [
        (
            r.target.name, r.ran_on.get("machine", "nowhere"), r.emulator or "native", str(r.count(PASSED)),
            str(r.count(FAILED, TIMED_OUT, CRASHED)), str(r.count(IGNORED)), f"{r.seconds:.1f} s",
            "failed" if r.error else "passed",
        )
        for r in shown
    ]  # fmt: skip
    if rows:
        console.table(("arch", "ran on", "by", "passed", "failed", "ignored", "time", ""), rows)
    for result in shown:
        for suite in result.suites:
            for case in suite.cases:
                if case.result not in (PASSED, IGNORED):
                    (why, *_) = case.detail.splitlines() or [""]
                    told = f" ({why})" if why and case.result != FAILED else ""
                    console.fault(f"{result.target.name} · {suite.name} · {case.name}: {case.result}{told}")
            if suite.broken or suite.mended:
                again = "twice" if suite.broken else "once; its second run counts"
                console.line(
                    f"! {result.target.name} · {suite.name}: the emulator crashed, {again}: {suite.broken or suite.mended}"
                )
    return None


def benched(console: Console, results: Sequence[Benched], *, as_json: bool) -> None:
    """Instructions per iteration, the plain path against the others; criterion has shown its own numbers already."""
    if as_json:
        return console.json([benching.told(result) for result in results])
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
        console.table(("arch", "body", "plain", "path", "instructions", ""), rows)
    for result in results:
        if not any(counts.PLAIN in name.split("/") for name in result.counted):
            for name, value in result.counted.items():
                console.line(f"{result.target.name} · {name}: {value:,.0f} instructions")
        for name in result.uncounted:
            console.line(f"{result.target.name} · {name}: each body ran once; it does not know {counts.ITERATIONS}")
    return None
