"""Commands that look: at the plan, the settings, the machine, a log; and `setup`, which mends what `doctor` finds. No logic."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from invoke import task

from buildlib.console import Console
from buildlib.door import ARCH, JSON, door, here, look_around, split
from buildlib.errors import NetworkError, UsageError


@task(
    auto_shortflags=False,
    iterable=["arch", "component"],
    help={"arch": f"{ARCH}; default: all", "component": "a binary", "json": JSON},
)
@door
def plan(c, console, arch, component, json=False):
    """What `build` would run, as a table or JSON. Nothing is changed."""
    from dataclasses import replace

    from buildlib import build as flow
    from buildlib import report
    from buildlib.runner import Dry

    console.quiet = True
    context = look_around(c, console)
    context = replace(context, run=Dry(console, os.environ, context.config.retry))
    _, builds = flow.plan(context, context.targets(tuple(arch), "all"), tuple(component))
    report.planned(console, builds, as_json=json)


@task(auto_shortflags=False, help={"output": "where to; default: target/buildlib/reports/index.html"})
@door
def report(c, console, output=""):
    """One HTML page of the last runs: what ran when, and how sizes and instruction counts moved."""
    context = look_around(c, console)
    from buildlib import journal, page
    from buildlib.context import JOURNAL
    from buildlib.files import text_of
    from buildlib.plan import Write

    told = context.workspace.target_dir / JOURNAL
    lines = journal.read(text_of(told.with_name(f"{told.name}.1")) + text_of(told))
    path = Path(here(output)) if output else context.reports / "index.html"
    context.run(Write(path=path, text=page.page(lines)))
    console.line(f"wrote {path}")


@task(auto_shortflags=False, help={"install": "the command that brings buildlib"})
@door
def ci(c, console, install=""):
    """A workflow for GitHub Actions that tests this workspace on all its arches and pushes its images."""
    from buildlib import workflow

    text = workflow.workflow(look_around(c, console).config, install or workflow.INSTALL)
    console.line(text.rstrip("\n"))


@task(auto_shortflags=False, help={"json": JSON})
@door
def config(c, console, json=False):
    """Every setting, its value, and what set it."""
    from buildlib import report

    report.settings(console, look_around(c, console).config, as_json=json)


@task(
    auto_shortflags=False,
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: all",
        "json": JSON,
        "network": "the way to each registry, leg by leg, from here and from the builder",
        "fix": "carry the cures out, as `setup` does",
        "yes": "do not ask",
    },
)
@door
def doctor(c, console, arch, network=False, json=False, fix=False, yes=False):
    """What this machine lacks for a build, and the cures."""
    if fix:
        return _setup(c, console, arch, yes)
    if network:
        return _survey(c, console, json)
    from buildlib import checkup, report
    from buildlib import doctor as needs

    context = look_around(c, console)
    wanted = checkup.examine(context, context.targets(tuple(arch), "all"))
    lacking = needs.missing(wanted, context.host)
    report.examined(console, wanted, lacking, as_json=json)
    return 4 if any(need.must for need in lacking) else 0


def _survey(c: Any, console: Console, as_json: bool) -> int:
    from buildlib import report
    from buildlib.survey import survey

    found = survey(look_around(c, console))
    report.surveyed(console, found, as_json=as_json)
    return NetworkError.code if any(leg.failure for leg in found.legs) else 0


@task(auto_shortflags=False, iterable=["arch"], help={"arch": f"{ARCH}; default: all", "yes": "do not ask"})
@door
def setup(c, console, arch, yes=False):
    """Install what a build lacks here, and nothing else (`doctor --fix`)."""
    return _setup(c, console, arch, yes)


def _setup(c: Any, console: Console, arch: list[str], yes: bool) -> None:
    from buildlib import checkup, provision

    provision.bootstrap(console, os.environ, Path.cwd(), dry=c.config.run.dry, yes=yes)
    context = look_around(c, console)
    checkup.mend(context, context.targets(tuple(arch), "all"), yes=yes)


@task(
    auto_shortflags=False,
    iterable=["file"],
    help={"file": "a log; default: standard input", "json": "an object a line, one for each file"},
)
@door
def explain(c, console, file, json=False):
    """Read a failed log: what kind of failure, its cause, the cure, and whether a retry helps."""
    from buildlib import report

    named = split(file)
    if not named and sys.stdin.isatty():
        raise UsageError("no log to read", "buildlib explain FILE, or ... 2>&1 | buildlib explain")
    for name in named or ["-"]:
        report.explained(console, name, _log(name), as_json=json)


def _log(name: str) -> str:
    try:
        return (sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
