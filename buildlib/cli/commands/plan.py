"""`plan`, `config`, `report` and `ci`: what would run, what is configured, what ran, and a pipeline."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from buildlib.cli.cargo_options import CargoOptions, cargo_command
from buildlib.cli.entry import ARCH, COMPONENT, JSON, absolute, command, open_workspace, settings_help, task
from buildlib.process.console import Console


@cargo_command(
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: all",
        "component": COMPONENT,
        **settings_help("profile", "backend", "glibc"),
        "json": JSON,
    },
)
def plan(
    c: Any,
    console: Console,
    cargo: CargoOptions,
    arch: list[str],
    backend: str = "",
    glibc: str = "",
    json: bool = False,
) -> None:
    """What `build --arch all` would run, as a table or JSON. Nothing is changed."""
    console.quiet = True
    flags = {**cargo.settings, "backend": backend, "glibc": glibc}
    context = open_workspace(c, console, flags, cargo.request, scope="project")
    from buildlib.binaries import build
    from buildlib.images.dockerfile_image import targets_of
    from buildlib.process.runner import DryRunner
    from buildlib.report import plan_table
    from buildlib.shards.times import measured
    from buildlib.usage import next_command

    context = replace(context, run=DryRunner(console, os.environ, context.config.retry))
    words = (*arch, *cargo.targets)
    targets = context.targets(words, "all")
    context, names = context.with_images()
    images = {name: targets_of(context, name, targets, named=bool(words)) for name in names}
    nothing = context.request.no_binaries
    context, builds = (context, []) if nothing else build.plan(context, targets)
    left_out = {} if nothing else build.predict_left_out(context)
    planned = plan_table.PlannedImages(context.config.images, images)
    plan_table.plan(console, builds, left_out, planned, as_json=json, times=measured(context))
    console.quiet = cargo.request.quiet
    if builds:
        next_command.show(console, next_command.planned(context, targets))
    elif names:
        next_command.show(console, next_command.image(context, targets, names))


@task(help={"json": JSON})
@command
def config(c: Any, console: Console, json: bool = False) -> None:
    """Every setting, its value, and what set it."""
    from buildlib.report import tables
    from buildlib.usage import next_command

    tables.config(console, open_workspace(c, console, scope="project").config, as_json=json)
    next_command.show(console, ["doctor"])


@task(help={"output": "the file to write; default: target/buildlib/reports/index.html", "json": JSON})
@command
def report(c: Any, console: Console, output: str = "", json: bool = False) -> None:
    """One HTML page of the last commands: failures, what was compiled and cached, sizes, counts, images, and what ran when."""
    context = open_workspace(c, console, scope="project")
    from buildlib.core.plan import Write
    from buildlib.process import history
    from buildlib.process.context import HISTORY
    from buildlib.process.files import read_text
    from buildlib.report import texts
    from buildlib.report.history_page import page

    file = context.workspace.target_dir / HISTORY
    lines = history.read(read_text(file.with_name(f"{file.name}.1")) + read_text(file))
    path = Path(absolute(output)) if output else context.reports / "index.html"
    context.run(Write(path=path, text=page.page(lines, context.workspace.root.name)))
    texts.page(console, path, as_json=json)


@task(
    help={
        "for": "the CI system; default: github",
        "install": "the command that installs buildlib; default: from the source of this installation",
        "json": JSON,
    },
)
@command
def ci(c: Any, console: Console, for_: str = "github", install: str = "", json: bool = False) -> None:
    """A pipeline for GitHub Actions or GitLab that tests this workspace on all its arches and pushes its images."""
    from buildlib.ci import command as pipelines
    from buildlib.report import texts

    pipeline = pipelines.ci(open_workspace(c, console, scope="project"), for_, install)
    texts.pipeline(console, pipeline, as_json=json)
