"""The reports of tests and the histories of all parts, as if one machine had run everything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import msgspec

from buildlib.core.cases import Case, Suite
from buildlib.core.errors import BuildError, Refused, TestsFailed
from buildlib.core.targets import TARGETS
from buildlib.display.escaping import json_text
from buildlib.process import history
from buildlib.process.context import HISTORY, Context
from buildlib.process.files import append, disk_error, read_text
from buildlib.process.history import MAX_BYTES
from buildlib.shards.record import JOURNAL, REPORTS
from buildlib.shards.result import MAKE_AGAIN, Result, text_of
from buildlib.testing.tests import SuiteData, TestReport, TestResult

SESSIONS = ("test", "smoke")


def read(results: Sequence[Result]) -> list[TestResult]:
    """The reports of all parts. Refused or BuildError for one that is missing, changed, or not a report of this part."""
    return [
        _report(result, session, name, sha256)
        for session in SESSIONS
        for result in results if session in result.record.commands
        for name, sha256 in _files(result, session).items()
    ]  # fmt: skip


def _files(result: Result, session: str) -> dict[str, str]:
    """The files of the reports, and their SHA-256. Every arch has been tested; not every arch has an image."""
    files = result.record.commands[session].files
    expected = {f"{REPORTS}/{session}-{name}.json": name for name in result.names}
    if unknown := files.keys() - expected.keys():
        raise Refused(f"{result}: {min(unknown)!r} is not a report of this part", MAKE_AGAIN)
    if session == "test" and (missing := expected.keys() - files.keys()):
        raise BuildError(f"{result}: no report of the tests for {expected[min(missing)]}", MAKE_AGAIN)
    return files


def _report(result: Result, session: str, name: str, sha256: str) -> TestResult:
    text = text_of(result.folder, name)
    if text is None:
        raise BuildError(f"{result}: {name}: missing", MAKE_AGAIN)
    if (actual := hashlib.sha256(text).hexdigest()) != sha256:
        raise Refused(f"{result}: {name}: modified: sha256 {actual}, expected {sha256}", MAKE_AGAIN)
    try:
        report = msgspec.json.decode(text, type=TestReport)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BuildError(f"{result}: {name}: not a report", MAKE_AGAIN) from None
    if f"{REPORTS}/{report['session']}-{report['arch']}.json" != name or report["arch"] not in TARGETS:
        raise BuildError(f"{result}: {name}: the report of another arch", MAKE_AGAIN)
    kind = TestsFailed if report["code"] == TestsFailed.code else BuildError
    return TestResult(
        target=TARGETS[report["arch"]], session=session, emulator=report["emulator"], ran_on=report["ran_on"],
        children=report.get("child_processes", ""), suites=tuple(map(_suite, report["suites"])), seconds=report["seconds"],
        error=None if report["error"] is None else kind(report["error"]),
    )  # fmt: skip


def _suite(data: SuiteData) -> Suite:
    return Suite(
        name=data["name"], cases=tuple(Case(**case) for case in data["cases"]), seconds=data["seconds"], broken=data["broken"],
        recovered=data["mended"], ran_on=data.get("ran_on", ""),
    )  # fmt: skip


def add_histories(context: Context, results: Sequence[Result]) -> None:
    """Add what the parts have recorded to this workspace's history; lines that it has already are left out."""
    file = context.workspace.target_dir / HISTORY
    files = (file.with_name(f"{file.name}.1"), file)
    known = {json.dumps(line, sort_keys=True) for one in files for line in history.read(read_text(one))}
    lines = []
    for result in results:
        text = (text_of(result.folder, JOURNAL) or b"").decode("utf-8", "replace")
        found = (
            line for line in history.read(text) if isinstance(line["run"], str) and isinstance(line["command"], str)
        )
        lines += [json_text(line) for line in found if json.dumps(line, sort_keys=True) not in known]
    if lines and not context.run.dry:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            append(file, "\n".join(lines), MAX_BYTES)
        except OSError as error:
            raise disk_error(error) from None
