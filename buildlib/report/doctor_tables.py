"""Results of `doctor` and `setup`, for users and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from buildlib.core.errors import BuildError, MissingRequirements
from buildlib.core.requirements import Requirement
from buildlib.failures.redact import redact
from buildlib.process.console import Console
from buildlib.report.reply import reply

if TYPE_CHECKING:
    from buildlib.doctor.network import ConnectionStep, NetworkReport
    from buildlib.report import results as data


def network(console: Console, report: NetworkReport, *, as_json: bool) -> None:
    """Print the connection to each registry, one row per step, and what to change."""
    from buildlib.doctor import network as analysis

    advice = analysis.advice(report)
    if as_json:
        result: data.NetworkData = {
            "legs": analysis.steps_data(report),
            "clock_skew": round(report.skew, 1),
            "rate_limit_left": report.left,
            "advice": list(advice),
            **reply(_failures(report), analysis.exit_code(report)),
        }
        console.json(result)
        return
    rows = ((step.where, step.host, step.name, f"{step.seconds * 1000:.0f} ms", _step(step)) for step in report.steps)
    console.table(("from", "registry", "step", "time", "result"), rows)
    for line in advice:
        console.line(f"  help: {line}")


def _failures(report: NetworkReport) -> Iterator[BuildError]:
    for step in report.steps:
        if failure := step.failure:
            message = f"{step.host}: {step.name} from {step.where}: {redact(failure.cause)}"
            yield BuildError(message, failure.help, failure.kind)


def _step(step: ConnectionStep) -> str:
    return f"{step.failure.kind}: {redact(step.failure.cause)}" if step.failure else step.note


def doctor(
    console: Console, requirements: Sequence[Requirement], absent: Iterable[Requirement], *, as_json: bool
) -> None:
    """Print what the machine has and lacks: one row per requirement."""
    rows = _states(requirements, absent)
    if as_json:
        elements: list[data.RequirementData] = [{**row, **reply([_failure(row)])} for row in rows]
        console.json(elements)
        return
    console.table(
        ("state", "section", "requirement", "found", "why", "help"),
        ((r["state"], r["section"], r["need"], r["have"], r["why"], " or ".join(r["help"])) for r in rows),
        important=("state", "requirement"), below="help",
    )  # fmt: skip


def setup(console: Console, requirements: Sequence[Requirement], absent: Iterable[Requirement]) -> None:
    """Print what the machine has and lacks after `setup`, as JSON."""
    result: data.SetupData = {"requirements": _states(requirements, absent), **reply()}
    console.json(result)


def _states(requirements: Iterable[Requirement], absent: Iterable[Requirement]) -> list[data.RequirementState]:
    names = {requirement.what for requirement in absent}
    return [
        {
            "section": requirement.section,
            "need": requirement.what,
            "state": "ok" if requirement.what not in names else "fail" if requirement.required else "warn",
            "have": requirement.have,
            "why": requirement.why,
            "help": [fix.text for fix in requirement.fixes] if requirement.what in names else [],
        }
        for requirement in requirements
    ]


def _failure(row: data.RequirementState) -> BuildError | None:
    if row["state"] != "fail":
        return None
    return MissingRequirements(f"missing: {row['need']} ({row['why']})", " or ".join(row["help"]))
