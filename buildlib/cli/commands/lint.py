"""`lint`: find portability problems, and fix those that can be fixed mechanically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildlib.cli.entry import JSON, command, split, task
from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.process.console import Console

if TYPE_CHECKING:
    from buildlib.core.settings import Config


@task(
    iterable=["path", "rule"],
    help={
        "path": "a file or directory; default: the current directory",
        "format": "text, json, sarif or github; default: github in GitHub Actions, else text",
        "rule": "only this rule, by name or number; may be repeated",
        "fix": "apply the mechanical fixes",
        "strict": "fail for findings of severity info too",
        "json": JSON,
    },
)
@command
def lint(
    c: Any,
    console: Console,
    path: list[str],
    rule: list[str],
    format: str = "",
    fix: bool = False,
    strict: bool = False,
    json: bool = False,
) -> int:
    """Portability problems in Dockerfiles, workflows, Cross.toml and cargo's configuration."""
    if json and format:
        raise UsageError("choose one of --json and --format", "--format json prints the findings alone")
    from buildlib.lint import command as linter
    from buildlib.process.runner import DryRunner, Runner
    from buildlib.usage import next_command

    output_format = linter.output_format(console, format)
    root = linter.root_of(Path.cwd())
    config = linter.settings(os.environ, root)
    _check_components(console, config, root)
    paths = [Path(word) for word in split(path)] or [Path()]
    linted = linter.lint(paths, config, root, split(rule))
    fixed: list[str] = []
    if fix:
        run = (DryRunner if c.config.run.dry else Runner)(console, os.environ, config.retry)
        for write in linter.fixes(linted):
            run(write)
            console.note(f"fixed {write.path}")
            fixed += [] if c.config.run.dry else [str(write.path)]
        linted = linted if c.config.run.dry else linter.lint(paths, config, root, split(rule))
    failed = bool(linted.failed or (strict and linted.findings))
    if json:
        from buildlib.report import tables

        tables.lint(console, linted, fixed, failed=failed)
    else:
        linter.show(console, linted, output_format)
        if not fix and any(finding.edits for finding in linted.findings):
            next_command.show(console, ["lint", *map(str, paths if path else ()), "--fix"])
    return 1 if failed else 0


def _check_components(console: Console, config: Config, root: Path) -> None:
    """Raise UsageError for settings of a component that does not exist.

    Only cargo knows which components exist. lint does not need cargo, so nothing is checked without it.
    """
    from buildlib.core import layers
    from buildlib.process.context import read_workspace

    if not config.components:
        return
    try:
        workspace = read_workspace(console, os.environ, root)
    except MissingRequirements:
        return
    layers.check_components(config, {component.name: component for component in workspace.components})
