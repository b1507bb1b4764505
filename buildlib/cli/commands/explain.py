"""`explain`: read a failed log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from buildlib.cli.entry import command, split, task
from buildlib.core.errors import UsageError
from buildlib.process.console import Console

MAX_LINES = 1_000_000  # of a log; of a longer one the middle is left out


@task(
    iterable=["file"],
    help={"file": "a log; default: standard input", "json": "print one JSON object per line, one per file"},
)
@command
def explain(c: Any, console: Console, file: list[str], json: bool = False) -> None:
    """Read a failed log: the class of the failure, its cause, what helps, and whether a retry does."""
    from buildlib.report import tables

    names = split(file)
    if not names and sys.stdin.isatty():
        raise UsageError("no log to read", "buildlib explain FILE, or … 2>&1 | buildlib explain")
    for name in names or ["-"]:
        tables.explain(console, name, _log(name), as_json=json)


def _log(name: str) -> str:
    from buildlib.process.output_reader import MAX_KEPT, shortened

    try:
        text = (sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    if len(text) <= MAX_KEPT:
        return text
    lines = text.split("\n")
    # What is left out is blank, so that the other lines keep their numbers.
    lines[MAX_LINES // 2 : -MAX_LINES // 2] = [""] * (len(lines) - MAX_LINES)
    return "\n".join(map(shortened, lines))
