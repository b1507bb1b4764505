"""`builder`, `builder.create`, `builder.remove`: the buildx builder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from buildlib.cli.entry import JSON, command, open_workspace, task
from buildlib.process.console import Console

if TYPE_CHECKING:
    from buildlib.report.results import BuilderAction


@task(default=True, help={"json": JSON})
@command
def inspect(c: Any, console: Console, json: bool = False) -> int:
    """The builder that images are made with, and how it differs from the settings."""
    context = open_workspace(c, console, scope="project")
    from buildlib.builder import builder_commands
    from buildlib.report import image_tables
    from buildlib.usage import next_command

    state = builder_commands.inspect(context)
    image_tables.builder(console, state, as_json=json)
    is_ready = state.exists and not state.differences
    if is_ready:
        next_command.show(console, next_command.with_builder(context))
    return 0 if is_ready else 1


@task(help={"force": "recreate it if it differs from the settings, and discard its cache", "json": JSON})
@command
def create(c: Any, console: Console, force: bool = False, json: bool = False) -> None:
    """Create the builder, if it does not exist."""
    context = open_workspace(c, console, scope="project")
    from buildlib.builder import builder_commands
    from buildlib.report import image_tables
    from buildlib.usage import next_command

    before = builder_commands.create(context, force=force)
    action: BuilderAction = "created" if not before.exists else "recreated" if before.differences else "unchanged"
    name = before.configured.name
    image_tables.changed_builder(console, name, action, dry=context.run.dry, as_json=json)
    next_command.show(console, next_command.with_builder(context), dry=context.run.dry)


@task(help={"json": JSON})
@command
def remove(c: Any, console: Console, json: bool = False) -> None:
    """Remove the builder and its cache."""
    context = open_workspace(c, console, scope="project")
    from buildlib.builder import builder_commands
    from buildlib.report import image_tables
    from buildlib.usage import next_command

    builder_commands.remove(context)
    name = context.config.builder.name
    image_tables.changed_builder(console, name, "removed", dry=context.run.dry, as_json=json)
    next_command.show(console, ["builder.create"], dry=context.run.dry)
