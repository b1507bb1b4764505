"""`doctor` and `setup`: what this machine lacks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildlib.cli.entry import ARCH, JSON, command, open_workspace, task
from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.process.console import Console

if TYPE_CHECKING:
    from buildlib.core.requirements import Requirement
    from buildlib.core.targets import Target
    from buildlib.process.context import Context

YES = "do not ask"


@task(
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: all",
        "json": JSON,
        "network": "check the connection to each registry step by step, from this machine and from the builder",
        "report": "print what an issue should say, as Markdown: versions, choices and reasons, settings, what is missing",
        "fix": "install what is missing, as `setup` does",
        "yes": YES,
    },
)
@command
def doctor(
    c: Any,
    console: Console,
    arch: list[str],
    network: bool = False,
    json: bool = False,
    report: bool = False,
    fix: bool = False,
    yes: bool = False,
) -> int:
    """What this machine lacks for builds, tests and images, and how to fix it."""
    if report and (json or network or fix):
        raise UsageError("--report cannot be combined with --json, --network or --fix")
    if report:
        return _report(console, arch)
    if fix:
        _fix(c, console, arch, yes=yes, as_json=json)
        return 0
    if network:
        return _network(c, console, json)
    from buildlib.report import doctor_tables
    from buildlib.usage import next_command

    context = open_workspace(c, console, scope="project")
    targets = context.targets(tuple(arch), "all")
    requirements, absent = _requirements(context, targets)
    doctor_tables.doctor(console, requirements, absent, as_json=json)
    next_command.after_doctor(context, absent, targets, named=bool(arch))
    return MissingRequirements.code if any(one.required for one in absent) else 0


def _requirements(
    context: Context, targets: tuple[Target, ...]
) -> tuple[tuple[Requirement, ...], tuple[Requirement, ...]]:
    """What the machine is required to have, and what of that it lacks."""
    from buildlib.core.requirements import missing
    from buildlib.doctor import checks
    from buildlib.process.runner import DryRunner

    # Only questions are asked. What other commands cache of the answers is not written.
    context = replace(context, run=DryRunner(context.console, os.environ, context.config.retry))
    requirements = checks.all_requirements(context, targets)
    return requirements, missing(requirements, context.host)


def _report(console: Console, arch: list[str]) -> int:
    from buildlib.doctor import bug_report
    from buildlib.report.bug_report import markdown

    context, problem = bug_report.context(console, os.environ, Path.cwd())
    sections = bug_report.sections(context, context.targets(tuple(arch), "all"), problem)
    console.line(markdown(sections, bug_report.title(context), context.host.env))
    return 0


def _network(c: Any, console: Console, as_json: bool) -> int:
    from buildlib.doctor.network import exit_code
    from buildlib.doctor.network_probe import probe_network
    from buildlib.report import doctor_tables

    report = probe_network(open_workspace(c, console, scope="project"))
    doctor_tables.network(console, report, as_json=as_json)
    return exit_code(report)


@task(iterable=["arch"], help={"arch": f"{ARCH}; default: all", "yes": YES, "json": JSON})
@command
def setup(c: Any, console: Console, arch: list[str], yes: bool = False, json: bool = False) -> None:
    """Install what is missing, and nothing else (`doctor --fix`)."""
    _fix(c, console, arch, yes=yes, as_json=json)


def _fix(c: Any, console: Console, arch: list[str], *, yes: bool, as_json: bool) -> None:
    from buildlib.doctor import fix
    from buildlib.report import doctor_tables
    from buildlib.usage import next_command

    fix.bootstrap(console, os.environ, Path.cwd(), dry=c.config.run.dry, yes=yes)
    context = open_workspace(c, console, scope="project")
    targets = context.targets(tuple(arch), "all")
    fix.fix(context, targets, yes=yes)
    if as_json:
        doctor_tables.setup(console, *_requirements(context.refreshed(), targets))
    else:
        next_command.after_setup(context, targets)
