"""Reads the output of a running step, line by line: shows it, keeps it, or reads it as cargo's JSON messages."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from buildlib.core.plan import Artifact, Step
from buildlib.machine.workspace import LIBRARIES
from buildlib.process.console import Console
from buildlib.process.crate_times import CrateTimes

KINDS = {suffix: kind for kind, suffix in LIBRARIES.items()}  # of a target, by the suffix of its file
TAIL = 5000  # lines of output that are kept, to classify a failure; its cause may be far above the end
TAIL_SIZE = 1 << 24  # characters of them, all together
MAX_LINE = 1 << 24  # bytes; a longer line is read as several, so that one without an end does not fill the memory
MAX_KEPT = 1 << 20  # characters of a kept line; of a longer one the middle is left out


def shortened(line: str) -> str:
    """A line of a log of a bounded length: a failure is classified by searching it for a thousand phrases."""
    return line if len(line) <= MAX_KEPT else f"{line[: MAX_KEPT // 2]} … {line[-MAX_KEPT // 2 :]}"


class Tail(deque[str]):
    """The last lines: at most TAIL, and of more than one no more than TAIL_SIZE characters."""

    def __init__(self) -> None:
        super().__init__(maxlen=TAIL)
        self.size = 0

    def append(self, line: str) -> None:
        """Add a line, and drop the oldest ones that are too many."""
        self.size += len(line)
        if len(self) == TAIL:
            self.size -= len(self[0])
        super().append(line)
        while self.size > TAIL_SIZE and len(self) > 1:
            self.size -= len(self.popleft())


class OutputReader:
    """Reads both streams of a step, each in a thread of its own. `translate` is applied to each line before it is shown."""

    def __init__(self, step: Step, console: Console, translate: Callable[[str], str]) -> None:
        self.step, self.console, self.translate = step, console, translate
        self.stdout: list[str] = []
        self.tail = Tail()
        self.decoder = step.decoder() if step.decoder else None
        # What cargo's messages say: what was built, and how many crates were compiled or up to date.
        self.artifacts: list[Artifact] = []
        self.compiled = self.fresh = 0
        self.crates = CrateTimes()

    def read_stdout(self, pipe: IO[bytes]) -> None:
        """Read stdout to its end, and show or keep it as `Step.stdout` says."""
        with suppress(BrokenPipeError):  # the reader of our own output is gone; closing the pipe ends the step too
            for line in _lines(pipe):
                if self.step.stdout in ("keep", "both"):
                    self.stdout.append(line)
                is_message = self.step.stdout == "json" and line.startswith("{") and self._read_message(line)
                if self.step.stdout != "keep" and not is_message:
                    self._show(line)

    def read_stderr(self, pipe: IO[bytes]) -> None:
        """Read stderr to its end, and show what the step's decoder makes of it."""
        with suppress(BrokenPipeError):
            for line in _lines(pipe):
                if self.step.stdout == "json":
                    self.crates.line(line)
                for shown in self.decoder.lines(line.rstrip("\n")) if self.decoder else (line,):
                    self._show(shown)
            for shown in self.decoder.end() if self.decoder else ():
                self._show(shown)

    def _show(self, line: str) -> None:
        line = self.translate(line.rstrip("\n"))
        self.tail.append(shortened(line))
        if not (self.step.quiet or self.step.held):
            self.console.output(line)

    def _read_message(self, line: str) -> bool:
        """Read one of cargo's JSON messages. False for a line that is not one: a build script may print anything."""
        try:
            message = json.loads(line)
            if message["reason"] == "compiler-artifact":
                self._read_artifact(message)
            elif message["reason"] == "build-script-executed":
                self.crates.executed(message)
        except (ValueError, KeyError, TypeError, RecursionError):
            return False
        return True

    def _read_artifact(self, message: dict[str, Any]) -> None:
        # All keys are read first, so that a message that lacks one changes no count.
        fresh, target, is_test = bool(message["fresh"]), message["target"], bool(message["profile"]["test"])
        name, kinds, manifest = target["name"], target["kind"], Path(message["manifest_path"])
        if executable := message.get("executable"):
            files = {Path(executable): str(kinds[0])}
        else:
            paths = [path for path in map(Path, message["filenames"]) if path.suffix in KINDS]
            # Only crate types of the target: a proc macro is a .so too.
            files = {path: KINDS[path.suffix] for path in paths if KINDS[path.suffix] in target["crate_types"]}
        if not fresh:
            self.crates.compiled(message)
        self.fresh += fresh
        self.compiled += not fresh
        self.artifacts += [
            Artifact(path=path, name=name, kind=kind, manifest=manifest, test=is_test) for path, kind in files.items()
        ]

    def summary(self) -> str:
        """How many crates cargo has compiled; "" for a step without cargo's messages."""
        if self.step.stdout != "json":
            return ""
        crates = "crate" if self.compiled == 1 else "crates"
        return f"{self.compiled} {crates} compiled" if self.compiled else "nothing to compile"


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    # Tools print any bytes; invalid UTF-8 must not end the reading.
    with pipe:
        while line := pipe.readline(MAX_LINE):
            yield line.decode("utf-8", "replace")
