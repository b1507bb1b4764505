"""What a running step says, line by line: shown, kept, or read as cargo's JSON."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from buildlib.core.plan import Step
from buildlib.process.console import Console

TAIL = 5000  # lines of a tool's stderr kept for reading its failure; a build's cause may stand far above its end


class OutputReader:
    """What a running step says, line by line: shown, kept, or read as cargo's JSON."""

    def __init__(self, step: Step, console: Console, spoken: Callable[[str], str]) -> None:
        self.step, self.console, self.translate = step, console, spoken
        self.stdout: list[str] = []
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.executables: list[Path] = []
        self.tests: list[Path] = []
        self.benches: list[tuple[Path, Path]] = []
        self.compiled = self.fresh = 0

    def read_stdout(self, pipe: Any) -> None:
        for line in _lines(pipe):
            match self.step.stdout:
                case "keep":
                    self.stdout.append(line)
                case "both":
                    self.stdout.append(line)
                    self._told(line)
                case "json" if line.startswith("{"):
                    self._message(json.loads(line))
                case _:
                    self._told(line)

    def read_stderr(self, pipe: Any) -> None:
        for line in _lines(pipe):
            self._told(line)

    def _told(self, line: str) -> None:
        line = self.translate(line.rstrip("\n"))
        self.tail.append(line)
        if not (self.step.quiet or self.step.held):
            self.console.output(line)

    def _message(self, message: dict[str, Any]) -> None:
        if message.get("reason") == "compiler-artifact":
            self.fresh += message["fresh"]
            self.compiled += not message["fresh"]
            if message.get("executable") and message["profile"]["test"]:
                self.tests.append(Path(message["executable"]))
                if "bench" in message["target"]["kind"]:
                    self.benches.append((Path(message["executable"]), Path(message["manifest_path"]).parent))
            elif message.get("executable") and "bin" in message["target"]["kind"]:
                self.executables.append(Path(message["executable"]))

    def summary(self) -> str:
        if self.step.stdout != "json":
            return ""
        return f"{self.compiled} crates compiled" if self.compiled else "nothing to compile"


def _lines(pipe: Any) -> Iterator[str]:
    # Tools print what they like; a broken byte must not end the reading.
    with pipe:
        for line in pipe:
            yield line.decode("utf-8", "replace")
