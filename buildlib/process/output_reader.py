"""Reads the output of a running step, line by line: shows it, keeps it, or reads it as cargo's JSON messages."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from buildlib.core.plan import Artifact, Step
from buildlib.display.progress import Progress, counted, with_holder
from buildlib.machine.workspace import LIBRARIES
from buildlib.process.console import Console
from buildlib.process.crate_times import CrateTimes

KINDS = {suffix: kind for kind, suffix in LIBRARIES.items()}  # of a target, by the suffix of its file
TAIL = 5000  # lines of output that are kept, to classify a failure; its cause may be far above the end
TAIL_SIZE = 1 << 24  # characters of them, all together
MAX_LINE = 1 << 24  # bytes; a longer line is read as several, so that one without an end does not fill the memory
CHUNK = 1 << 16  # bytes that are read at once
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
    """Reads both streams of a step, each in a thread of its own. `translate` is applied to each line before it is shown.

    `progress` is updated, and what it shows of cargo's output is not shown as lines, unless the user asks for all of it.
    """

    def __init__(self, step: Step, console: Console, translate: Callable[[str], str], progress: Progress) -> None:
        self.step, self.console, self.translate, self.progress = step, console, translate, progress
        self.stdout: list[str] = []
        self.tail = Tail()
        self.decoder = step.decoder() if step.decoder else None
        self.blocking: Callable[[], str] = str  # says which command holds a lock that the step waits for
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
            if self.step.counts:
                for line in _lines_and_bars(pipe):
                    self._show_cargo(line)
                return
            for line in _lines(pipe):
                for shown in self.decoder.lines(line.rstrip("\n")) if self.decoder else (line,):
                    self._show(shown)
            for shown in self.decoder.end() if self.decoder else ():
                self._show(shown)

    def _show_cargo(self, line: str) -> None:
        """Show a line of cargo's stderr that says more than how far it is."""
        text, is_progress = self.progress.cargo_line(line, time.monotonic())
        self.crates.line(text)
        if is_progress and self.progress.waiting:
            self.progress.holder = holder = self.blocking()
            if not self.console.interactive:
                self.console.note_at_once(with_holder(f"{self.step.title}: {self.progress.waiting}", holder))
        if text or not is_progress:
            self._show(text, hidden=is_progress and not self.console.verbose)

    def _show(self, line: str, *, hidden: bool = False) -> None:
        line = self.translate(line.rstrip("\n"))
        self.tail.append(shortened(line))
        if self.step.position:
            self.progress.at(self.step.position(line), time.monotonic())
        if not (hidden or self.step.quiet or self.step.held):
            self.console.output(line)

    def _read_message(self, line: str) -> bool:
        """Read one of cargo's JSON messages. False for a line that is not one: a build script may print anything."""
        try:
            message = json.loads(line)
            if self.step.message:
                self.step.message(message)
            if message["reason"] == "compiler-artifact":
                self._read_artifact(message)
            elif message["reason"] == "build-script-executed":
                self.crates.executed(message)
                self.progress.finished("", time.monotonic(), fresh=True)  # it does not say whether it ran
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
        self.progress.finished("" if "custom-build" in kinds else str(name), time.monotonic(), fresh=fresh)
        self.fresh += fresh
        self.compiled += not fresh
        self.artifacts += [
            Artifact(path=path, name=name, kind=kind, manifest=manifest, test=is_test) for path, kind in files.items()
        ]

    def summary(self) -> str:
        """How many crates cargo has compiled, or test binaries started; "" for a step of another tool."""
        if self.step.stdout == "json":
            return f"{counted(self.compiled, 'crate')} compiled" if self.compiled else "nothing to compile"
        number = self.progress.done + len(self.progress.running)
        return counted(number, self.step.counts) if self.step.counts and number else ""


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    # Tools print any bytes; invalid UTF-8 must not end the reading.
    with pipe:
        while line := pipe.readline(MAX_LINE):
            yield line.decode("utf-8", "replace")


def _lines_and_bars(pipe: IO[bytes]) -> Iterator[str]:
    """Lines without their ends. What ends with a carriage return so far is one too: progress bars come long before a line's end."""
    rest = b""
    with pipe:
        while data := pipe.read1(CHUNK):  # type: ignore[attr-defined]
            *lines, rest = (rest + data).split(b"\n")
            if rest.endswith(b"\r") or len(rest) > MAX_LINE:
                lines.append(rest)
                rest = b""
            yield from (line.decode("utf-8", "replace") for line in lines)
        if rest:
            yield rest.decode("utf-8", "replace")
