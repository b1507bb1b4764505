"""The command `test`: compile a target's tests, check on what they will run, run them there, and report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from buildlib import elf
from buildlib.binaries.build import compile_error
from buildlib.compiler_cache.server import serving
from buildlib.core.cases import IGNORED, PASSED, Suite
from buildlib.core.errors import BuildError, TestsFailed
from buildlib.core.plan import Outcome, Write
from buildlib.core.targets import Target, native
from buildlib.core.workers import results, workers
from buildlib.emulation import baseline, qemu
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.rust import provision
from buildlib.rust.cargo import Toolset
from buildlib.testing import cargo_test, libtest, nextest
from buildlib.testing.cargo_test import TestOptions, TestPlan
from buildlib.testing.child_processes import BOTH, LAUNCHERS
from buildlib.testing.failure_help import help_for_failures
from buildlib.testing.junit import junit
from buildlib.testing.probe import is_made, probe

SLOWDOWN = 10.0  # times that a test may take longer under emulation; QEMU's factor is five to ten


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """The result of one target's tests, or of its images.

    `ran_on` is what the probe printed, {} where it did not run. `children` is how programs that tests start run, as
    child_processes.py names it; "" where they need nothing, or the user's own runner starts the tests.
    """

    __test__ = False  # not a test class of pytest's

    target: Target
    session: str = "test"
    emulator: str = ""  # "" for this machine itself
    ran_on: Mapping[str, Any] = field(default_factory=dict)
    children: str = ""
    suites: tuple[Suite, ...] = ()
    seconds: float = 0.0
    error: BuildError | None = None
    planned: bool = False

    def count(self, *results: str) -> int:
        """How many cases have one of these results."""
        return sum(suite.count(*results) for suite in self.suites)


class CaseData(TypedDict):
    """One test of a report."""

    name: str
    result: str
    detail: str


class SuiteData(TypedDict):
    """The tests of one binary. `broken` and `mended` are as in core.cases.Suite, `ran_on` is "host" for a proc macro's tests."""

    name: str
    seconds: float
    broken: str
    mended: str
    ran_on: NotRequired[str]
    cases: list[CaseData]


class TestReport(TypedDict):
    """target/buildlib/reports/test-<arch>.json, and `test --json`: one element per target."""

    session: str
    arch: str
    target: str
    emulator: str
    ran_on: dict[str, Any]
    child_processes: NotRequired[str]
    seconds: float
    code: int
    error: str | None
    suites: list[SuiteData]


def test(context: Context, targets: tuple[Target, ...], cpu: str = "") -> list[TestResult]:
    """The tests of each target, one after the other; one that fails does not stop the others. `cpu` is as for `baseline.for_tests`.

    MissingRequirements lists everything that is missing at once.
    """
    context, plans = plan(context, targets, cpu)
    with serving(context, (tests.cache for tests in plans)):
        return [_test_one(context, tests) for tests in plans]


def toolsets(context: Context, targets: tuple[Target, ...]) -> tuple[Context, tuple[Toolset, ...]]:
    """The toolset of each target, on a machine that can also start what they compile, and the context afterwards.

    MissingRequirements lists everything that is missing at once.
    """
    context = provision.with_libraries(context, targets)
    backends = provision.backends(context, targets)
    local = tuple(target for target, backend in backends.items() if backend.local)
    requirements = {
        requirement.what: requirement for requirement in provision.requirements(context, backends, tests=True)
    }
    emulators = [requirement for target in local for requirement in qemu.requirements(target)]
    requirements |= {requirement.what: replace(requirement, required=True) for requirement in emulators}
    provision.unpack_emulators(context, local)
    provision.require(requirements.values(), context)
    return provision.toolsets(context, backends)


def plan(context: Context, targets: tuple[Target, ...], cpu: str = "") -> tuple[Context, list[TestPlan]]:
    """What compiles and runs the tests of each target, and the context afterwards."""
    context, prepared = toolsets(context, targets)
    plans = []
    for toolset in prepared:
        emulator, model = baseline.for_tests(context.host, toolset.target, context.config.cpu, cpu)
        timeout = context.config.test.timeout * (SLOWDOWN if emulator else 1.0)
        options = TestOptions(timeout=timeout, request=context.request, cpu=model)
        tests = cargo_test.test_plan(context.host, context.config, context.workspace, toolset, emulator, options)
        if nextest.is_used(context.host, context.config, tests, context.request):
            tests = nextest.with_nextest(context.host, tests, context.request)
        plans.append(tests)
    return context, plans


def _test_one(context: Context, tests: TestPlan) -> TestResult:
    target = tests.target
    name = emulator_name(context, tests.emulator) if tests.toolset.backend.local else "cross"
    name += f", {tests.cpu}" if tests.cpu else ""
    result = TestResult(target=target, emulator=name)
    with context.console.fold(f"{target.name} · test · {name or 'native'}"):
        result = _run(context, tests, result)
        if result.error:
            context.console.error(result.error)
    if not result.planned:
        write_reports(context, result)
    return result


def emulator_name(context: Context, words: tuple[str, ...]) -> str:
    """Program and version, as in "qemu-aarch64 7.2.22"; "" without an emulator."""
    if not words:
        return ""
    return f"{Path(words[0]).name} {qemu.version_of(context.run(qemu.version(words)).stdout)}"


def _run(context: Context, tests: TestPlan, result: TestResult) -> TestResult:
    waiting = f"{tests.target.name}: waiting for other tests in this workspace"
    with context.run.locked(tests.folder, waiting):
        try:
            for action in tests.scripts:
                context.run(action)
            total, ran_on, children = _prepare(context, tests)
            result = replace(result, ran_on=ran_on, children=children)
            if tests.compiles_only:
                return replace(result, planned=context.run.dry)
            if tests.record:
                context.run(Write(path=tests.record, text=""))
            outcome = context.run(replace(tests.run, total=total))
            doc_tests = context.run(tests.doc_tests) if tests.doc_tests else None
            if tests.runner and result.children in (BOTH, LAUNCHERS):
                context.run(tests.runner.restore_programs())
        except BuildError as error:
            return replace(result, error=error)
        record = read_text(tests.record) if tests.record else ""
    if not outcome.ran:
        return replace(result, planned=True)
    # nextest prints in a form of its own: then only the output of doc tests is libtest's.
    suites = libtest.read(record, (outcome if doc_tests is None else doc_tests).stdout, context.workspace.root)
    decisive = outcome
    if doc_tests is not None and outcome and not doc_tests and not nextest.has_no_library(doc_tests.output):
        decisive = doc_tests
    seconds = outcome.seconds + (doc_tests.seconds if doc_tests is not None else 0.0)
    failure = test_error(tests.target, suites, decisive, result.children)
    return replace(result, suites=suites, seconds=seconds, error=failure)


def _prepare(context: Context, tests: TestPlan) -> tuple[int, Mapping[str, Any], str]:
    """Compile the tests, and meanwhile find out where they will run; what `_compile`, `probe` and `_find_children` return."""
    probed = {} if is_made(context, tests) else probe(context, tests)

    def ask() -> tuple[Mapping[str, Any], str]:
        ran_on = probed or probe(context, tests)
        return ran_on, "" if tests.compiles_only else _find_children(context, tests)

    with workers(context.run.stopped, 1) as pool:
        asking = pool.submit(ask)
        total = _compile(context, tests)
        return total, *results(context.run.stopped.check, [asking])[0]


def _find_children(context: Context, tests: TestPlan) -> str:
    """Find how programs that tests start can run, let the runner do so, and return the way; "" where nothing is needed."""
    if not (tests.runner and tests.emulator) or context.run.dry:
        return ""
    outcome = context.run(tests.runner.find_children(tests.probe_program))
    try:
        found = json.loads(outcome.stdout)
        way = str(found["way"])
    except (ValueError, TypeError, KeyError):  # the program was interrupted, or this Python lacks a module
        return ""
    context.run(tests.runner.with_children(found).write_spec())
    return way


def _compile(context: Context, tests: TestPlan) -> int:
    """Compile the tests, check what they were compiled for, and return the number of their binaries."""
    if tests.compile is None:
        return 0
    outcome = context.run(tests.compile)
    if not outcome:
        raise compile_error(tests.target, outcome)
    for artifact in outcome.tests:
        if artifact.path.is_file():  # cross names paths in its container
            # Unit tests of a proc macro link the compiler's own library, which is the host's. Its integration tests are the target's.
            for_host = artifact.kind == "proc-macro"
            check_machine(artifact.path, native(context.host.machine) if for_host else tests.target)
    return len(outcome.tests)


def check_machine(path: Path, target: Target) -> None:
    """BuildError for a program that was not compiled for the target."""
    machine, expected = elf.machine(path), target.elf.machine
    if machine != expected:
        raise BuildError(f"{target.name}: {path.name} is for machine {machine}, expected {expected}")


def test_error(target: Target, suites: tuple[Suite, ...], outcome: Outcome, children: str = "") -> BuildError | None:
    """The error of a test run, None if all passed: failed tests first, then a crash of the emulator, then everything else.

    `children` is how programs that tests start run.
    """
    failed = [f"{suite.name}::{case.name} {case.result}" for suite in suites for case in suite.cases
              if case.result not in (PASSED, IGNORED)]  # fmt: skip
    if failed:
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        return TestsFailed(f"{target.name}: {'; '.join(failed[:5])}{more}", help_for_failures(target, suites, children))
    if broken := [f"{suite.name}: {suite.broken}" for suite in suites if suite.broken]:
        return BuildError(
            f"{target.name}: the emulator crashed twice: {'; '.join(broken)}",
            "no test failed; try another version of QEMU, or another CPU with QEMU_CPU",
        )
    # A doc test that does not compile is a failed test; anything else that does not compile is an error before the tests.
    return None if outcome else compile_error(target, outcome)


def write_reports(context: Context, result: TestResult) -> None:
    """Write the result as JSON and as JUnit XML."""
    title = f"{result.session}-{result.target.name}"
    context.run(context.report(title, report(result)))
    properties = {
        "arch": result.target.name,
        "ran on": str(result.ran_on.get("machine", "")),
        "emulator": result.emulator,
    } | ({"child processes": result.children} if result.children else {})
    context.run(Write(path=context.reports / f"{title}.xml", text=junit(title, result.suites, properties)))


def report(result: TestResult) -> TestReport:
    """The result as JSON data."""
    data: TestReport = {
        "session": result.session, "arch": result.target.name, "target": result.target.triple, "emulator": result.emulator,
        "ran_on": dict(result.ran_on), "seconds": round(result.seconds, 3), "code": result.error.code if result.error else 0,
        "error": result.error.message if result.error else None,
        "suites": [_suite_data(suite) for suite in result.suites],
    }  # fmt: skip
    if result.children:
        data["child_processes"] = result.children
    return data


def _suite_data(suite: Suite) -> SuiteData:
    data: SuiteData = {
        "name": suite.name, "seconds": suite.seconds, "broken": suite.broken, "mended": suite.recovered,
        "cases": [{"name": case.name, "result": case.result, "detail": case.detail} for case in suite.cases],
    }  # fmt: skip
    if suite.ran_on:
        data["ran_on"] = suite.ran_on
    return data
