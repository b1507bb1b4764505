"""The history of a workspace over many commands: a line of JSON for each step or fact, with times, sizes and counts."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from buildlib.display.escaping import json_text
from buildlib.display.progress import Run

FAILURE_LOG = ".build-failures.log"  # beside Cargo.toml: one JSON object per failed attempt
MAX_BYTES = 4_000_000  # enough for a few hundred commands
LONGEST = 1e6  # seconds of a step; more is no time
RECENT = 500_000  # bytes at the end, in which earlier runs of a step are looked for


class History:
    """Adds the lines of one command to the file `path`, or nowhere if that is None.

    `command` is the command line as the user typed it.
    """

    def __init__(self, path: Path | None, command: str = "") -> None:
        self.path = path
        self.copy: Path | None = None  # a second file, for the lines of this command alone
        self.now = datetime.now(UTC)
        self.run = {"run": self.now.isoformat(timespec="milliseconds"), "command": command}
        self.lock = threading.Lock()

    def __call__(self, kind: str, **facts: Any) -> None:
        """Append one line with `kind` and `facts`. If the history cannot be written, the command still succeeds."""
        for path in filter(None, (self.path, self.copy) if self.path else ()):
            with self.lock, contextlib.suppress(OSError):
                from buildlib.process.files import append  # late: most commands that only look have no history

                path.parent.mkdir(parents=True, exist_ok=True)
                append(path, json_text({**self.run, "kind": kind, **facts}), MAX_BYTES)

    def earlier(self, key: str) -> list[Run]:
        """The recent runs of a step that succeeded, oldest first. `key` identifies it, and is a part of its lines."""
        if not self.path or not key:
            return []
        try:
            with self.path.open("rb") as file:
                file.seek(max(self.path.stat().st_size - RECENT, 0))
                text = file.read(2 * RECENT).decode("utf-8", "replace")
        except OSError:
            return []
        runs = []
        for entry in read("\n".join(line for line in text.splitlines() if key in line)):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                run = Run(total=int(entry["total"]), worked=int(entry["worked"]), seconds=float(entry["seconds"]))
                if entry["key"] == key and entry["code"] == 0 and 0 <= run.seconds < LONGEST:  # NaN is not, either
                    runs.append(run)
        return runs


NO_HISTORY = History(None)


def read(text: str) -> Iterator[Mapping[str, Any]]:
    """The lines of a history, decoded. Lines that were cut off are skipped."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict) and {"run", "command", "kind"} <= entry.keys():
                yield entry
