"""The command `test`: compile a target's tests, see on what they will run, run them there, and say what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buildlib import artifacts, build, cargo, doctor, emulation, libtest, nextest, provision
from buildlib.backends import Backend
from buildlib.cargo import Tests
from buildlib.context import Context
from buildlib.errors import BuildError, Lacking, TestsFailed
from buildlib.files import holding, text_of
from buildlib.junit import junit
from buildlib.libtest import IGNORED, PASSED, Suite
from buildlib.plan import Outcome, Write
from buildlib.targets import Target
from buildlib.toolchain import Chosen

SLOWER = 10.0  # times that a test may take longer under emulation; QEMU's factor is five to ten


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What became of one target's tests, or of its images. `ran_on` is what the probe said, {} where it could not run."""

    target: Target
    session: str = "test"
    emulator: str = ""  # "" for this machine itself
    ran_on: Mapping[str, Any] = field(default_factory=dict)
    suites: tuple[Suite, ...] = ()
    seconds: float = 0.0
    error: BuildError | None = None
    planned: bool = False

    def count(self, *results: str) -> int:
        return sum(suite.count(*results) for suite in self.suites)


def test(context: Context, targets: tuple[Target, ...], rest: tuple[str, ...]) -> list[Tested]:
    """The tests of each target, one after the other; one that fails does not keep the others from it. `rest` is for cargo.
    Lacking lists all that is missing at once."""
    context, planned = plan(context, targets, rest)
    return [_one(context, tests) for tests in planned]


def fit(context: Context, targets: tuple[Target, ...]) -> tuple[Context, Mapping[str, Backend], Mapping[str, Chosen]]:
    """The machine, made fit to compile for the targets and to start what comes of it: the backend of each target, and its
    compiler. Lacking lists all that is missing at once."""
    chosen_backends = provision.backends(context, targets)
    emulated = tuple(target for target in targets if chosen_backends[target.name].name != "cross")
    wanted = {need.what: need for need in provision.needs(context, targets, chosen_backends)}
    wanted |= {need.what: replace(need, must=True) for target in emulated for need in emulation.needs(target)}
    provision.unpack(context, emulated)
    if must := [need for need in doctor.missing(wanted.values(), context.host) if need.must]:
        raise Lacking(f"this machine lacks:\n{doctor.describe(must)}")
    context, chosen = provision.climb(context, emulated)
    return context, chosen_backends, chosen


def plan(context: Context, targets: tuple[Target, ...], rest: tuple[str, ...]) -> tuple[Context, list[Tests]]:
    """What will compile and run the tests of each target."""
    context, chosen_backends, chosen = fit(context, targets)
    patience = context.config.test["timeout"]
    tests = []
    for target in targets:
        words = emulation.runner(context.host, target, static=target.is_musl) or ()
        lines = cargo.tests(context.host, context.config, context.workspace, target, chosen_backends[target.name],
                            chosen.get(target.name), words, patience * (SLOWER if words else 1.0), rest)  # fmt: skip
        if nextest.is_wanted(context.host, context.config, lines, rest):
            lines = nextest.instead(context.host, lines, rest)
        tests.append(lines)
    return context, tests


def _one(context: Context, tests: Tests) -> Tested:
    target = tests.target
    name = emulator(context, tests.emulator) if tests.backend.name != "cross" else "cross"
    found = Tested(target=target, emulator=name)
    with context.console.fold(f"{target.name} · test · {name or 'native'}"):
        found = _run(context, tests, found)
        if found.error:
            context.console.explain(found.error)
    if not found.planned:
        keep(context, found)
    return found


def emulator(context: Context, words: tuple[str, ...]) -> str:
    """qemu-aarch64 7.2.22, as it names itself; "" for none."""
    if not words:
        return ""
    return f"{Path(words[0]).name} {emulation.version_of(context.run(emulation.version(words)).stdout)}"


def _run(context: Context, tests: Tests, found: Tested) -> Tested:
    with holding(tests.folder, lambda: context.console.note(f"{tests.target.name}: other tests are at it, waiting")):
        try:
            for act in tests.tools:
                context.run(act)
            found = replace(found, ran_on=_probe(context, tests))
            if tests.compile:
                _compile(context, tests)
            if tests.record:
                context.run(Write(path=tests.record, text=""))
            outcome = context.run(tests.run)
            documented = context.run(tests.documented) if tests.documented else None
        except BuildError as error:
            return replace(found, error=error)
        record = text_of(tests.record) if tests.record else ""
    if not outcome.ran:
        return replace(found, planned=True)
    if documented is None:
        suites = libtest.read(record, outcome.stdout)
        return replace(found, suites=suites, seconds=outcome.seconds, error=verdict(tests.target, suites, outcome))
    suites = libtest.read(record, documented.stdout)
    failed = outcome and not documented and not nextest.has_no_library(documented.output)
    return replace(found, suites=suites, seconds=outcome.seconds + documented.seconds,
                   error=verdict(tests.target, suites, documented if failed else outcome))  # fmt: skip


def _probe(context: Context, tests: Tests) -> Mapping[str, Any]:
    """What the probe says that it runs on. BuildError where that is not the target."""
    outcome = context.run(tests.probe)
    if not outcome.ran:
        return {}
    if not outcome:
        raise (
            build.compile_error(tests.target, outcome)
            if outcome.code == 101
            else BuildError(
                f"{tests.target.name}: the probe does not run: {outcome.last}",
                "buildlib doctor",
            )
        )
    try:
        told = json.loads(outcome.stdout)
    except ValueError:
        raise BuildError(
            f"{tests.target.name}: the probe says {outcome.stdout.strip()!r}", "look at the runner"
        ) from None
    if complaint := emulation.complaint(told, context.host, tests.target):
        raise BuildError(f"{tests.target.name}: {complaint}", "look at CARGO_TARGET_*_RUNNER and .cargo/config.toml")
    return told


def _compile(context: Context, tests: Tests) -> None:
    outcome = context.run(tests.compile)
    if not outcome:
        raise build.compile_error(tests.target, outcome)
    for path in filter(Path.is_file, outcome.tests):  # cross names them as its container does
        check_machine(path, tests.target)


def check_machine(path: Path, target: Target) -> None:
    """BuildError for a program that is none of the target's."""
    machine, wanted = artifacts.machine(path), target.elf.machine
    if machine != wanted:
        raise BuildError(f"{target.name}: {path.name} is for machine {machine}, wanted {wanted}")


def verdict(target: Target, suites: tuple[Suite, ...], outcome: Outcome) -> BuildError | None:
    """The error that a run of tests ends with: a failed test before a crash of the emulator's, and that before all else."""
    bad = [f"{suite.name}::{case.name} {case.result}" for suite in suites for case in suite.cases
           if case.result not in (PASSED, IGNORED)]  # fmt: skip
    if bad:
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        return TestsFailed(f"{target.name}: {'; '.join(bad[:5])}{more}")
    if broken := [f"{suite.name}: {suite.broken}" for suite in suites if suite.broken]:
        return BuildError(
            f"{target.name}: the emulator crashed, twice: {'; '.join(broken)}",
            "no test has failed; try another version of QEMU, or another CPU with QEMU_CPU",
        )
    if not outcome:
        return build.compile_error(
            target, outcome
        )  # a doc test that does not compile is one that failed; this is before it
    return None


# --- what is kept ----------------------------------------------------------------------------------------------


def keep(context: Context, found: Tested) -> None:
    """The reports: JSON, and JUnit's XML."""
    title = f"{found.session}-{found.target.name}"
    context.run(context.report(title, told(found)))
    properties = {"arch": found.target.name, "ran on": str(found.ran_on.get("machine", "")), "emulator": found.emulator}
    context.run(Write(path=context.reports / f"{title}.xml", text=junit(title, found.suites, properties)))


def told(found: Tested) -> dict[str, Any]:
    """The same as data, as the JSON report has it."""
    return {
        "session": found.session, "arch": found.target.name, "target": found.target.triple, "emulator": found.emulator,
        "ran_on": dict(found.ran_on), "seconds": round(found.seconds, 3), "code": found.error.code if found.error else 0,
        "error": found.error.message if found.error else None,
        "suites": [
            {
                "name": suite.name, "seconds": suite.seconds, "broken": suite.broken, "mended": suite.mended,
                "cases": [{"name": case.name, "result": case.result, "detail": case.detail} for case in suite.cases],
            }
            for suite in found.suites
        ],
    }  # fmt: skip
