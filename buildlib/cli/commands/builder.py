"""`builder`, `builder.create`, `builder.remove`: the buildx builder."""

from __future__ import annotations

from typing import Any

from buildlib.cli.entry import JSON, command, open_workspace, task
from buildlib.process.console import Console


@task(default=True, help={"json": JSON})
@command
def inspect(c: Any, console: Console, json: bool = False) -> int:
    """The builder that images are made with, and how it differs from the settings."""
    context = open_workspace(c, console, scope="project")
    from buildlib.builder import builder_commands
    from buildlib.report import tables

    state = builder_commands.inspect(context)
    tables.builder(console, state, as_json=json)
    return 0 if state.exists and not state.differences else 1


@task(help={"force": "recreate it if it differs from the settings, and discard its cache"})
@command
def create(c: Any, console: Console, force: bool = False) -> None:
    """Create the builder, if it does not exist."""
    context = open_workspace(c, console, scope="project")
    from buildlib.builder import builder_commands

    builder_commands.create(context, force=force)


@task()
@command
def remove(c: Any, console: Console) -> None:
    """Remove the builder and its cache."""
    context = open_workspace(c, console, scope="project")
    from buildlib.builder import builder_commands

    builder_commands.remove(context)
