"""What ran when, and how large, slow or long it all was: a line of JSON for each step and each number, over many runs."""

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
MAX_BYTES = 4_000_000  # bytes; some hundred runs


class History:
    """One run's part of the journal in `path`; nothing is written without one. `command` is what the person said."""

    def __init__(self, path: Path | None, command: str = "") -> None:
        self.path = path
        self.now = datetime.now(UTC)
        self.run = {"run": self.now.isoformat(timespec="milliseconds"), "command": command}
        self.lock = threading.Lock()

    def __call__(self, kind: str, **facts: Any) -> None:
        """One line: `kind` and its facts. A journal that cannot be written does not make anything worse."""
        if not self.path:
            return
        with self.lock, contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append(self.path, json.dumps({**self.run, "kind": kind, **facts}, ensure_ascii=False), MAX_BYTES)


NO_HISTORY = History(None)


def read(text: str) -> Iterator[Mapping[str, Any]]:
    """The lines that are whole; one that was cut off is passed over."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and {"run", "command", "kind"} <= told.keys():
                yield told
