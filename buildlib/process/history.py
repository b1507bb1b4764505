"""The history of a workspace: when which step ran, its time, sizes and counts, as one line of JSON each, over many commands."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from buildlib.process.files import append

FAILURE_LOG = ".build-failures.log"  # beside Cargo.toml: one JSON object per failed attempt
MAX_BYTES = 4_000_000  # enough for some hundred commands


class History:
    """One command's part of the history in `path`; None writes nothing. `command` is the command line as the user typed it."""

    def __init__(self, path: Path | None, command: str = "") -> None:
        self.path = path
        self.now = datetime.now(UTC)
        self.run = {"run": self.now.isoformat(timespec="milliseconds"), "command": command}
        self.lock = threading.Lock()

    def __call__(self, kind: str, **facts: Any) -> None:
        """Append one line: `kind` and its facts. A history that cannot be written must not fail the command."""
        if not self.path:
            return
        with self.lock, contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append(self.path, json.dumps({**self.run, "kind": kind, **facts}, ensure_ascii=False), MAX_BYTES)


NO_HISTORY = History(None)


def read(text: str) -> Iterator[Mapping[str, Any]]:
    """The complete lines of a history; one that was cut off is skipped."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and {"run", "command", "kind"} <= entry.keys():
                yield entry
