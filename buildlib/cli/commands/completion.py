"""`completion`: scripts that complete command lines in shells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from buildlib.cli.entry import JSON, command, task
from buildlib.core.errors import UsageError
from buildlib.process.console import Console

SHELLS = ("bash", "zsh", "fish")


@task(
    help={
        "shell": "bash, zsh or fish",
        "values": "print the names that the workspace has of this kind, one a line, as the scripts ask for them",
        "json": JSON,
    }
)
@command
def completion(c: Any, console: Console, shell: str = "", values: str = "", json: bool = False) -> None:
    """A script that completes commands, options and their values in a shell."""
    from buildlib.core.targets import suggestion
    from buildlib.report import texts
    from buildlib.usage.option_table import OF_WORKSPACE

    if values:
        if values not in OF_WORKSPACE:
            raise UsageError(f"unknown kind of values {values!r}", suggestion(values, OF_WORKSPACE))
        from buildlib.usage.completion.values import values as values_of

        texts.completion(console, "", values_of(values, os.environ, Path.cwd()), as_json=json)
        return
    if shell not in SHELLS:
        message = f"unknown shell {shell!r}" if shell else "no shell is named"
        raise UsageError(message, suggestion(shell, SHELLS))
    from importlib import import_module

    from buildlib.cli.command_list import describe_all

    script = import_module(f"buildlib.usage.completion.{shell}").script(describe_all())
    texts.completion(console, script, as_json=json)
