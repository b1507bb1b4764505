"""BuildKit's raw JSON progress, line by line while the build runs: readable lines for the user, vertexes for the table of times.

The lines are those of `--progress plain` (progressui/printer.go), which people and `failures.classify` know. Only their order differs:
plain progress keeps the lines of one step together, here each is shown at once, with the number of its step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from buildlib.builder.emulation_limit import EmulationLimit, Running
from buildlib.builder.vertexes import (
    CANCELED,
    MAX_VERTEXES,
    LogUpdate,
    SolveStatus,
    StatusUpdate,
    Vertex,
    VertexUpdate,
    key,
    merge,
    read_status,
    seconds,
)
from buildlib.core.errors import BuildError
from buildlib.core.plan import Outcome, Step

PLAIN, RAW = ("--progress", "plain"), ("--progress", "rawjson")
# An object that is spread over lines, as buildx writes it: more lines or characters than BuildKit ever sends at once are text.
MAX_LINES, MAX_SIZE = 100_000, 1 << 24
MAX_PARTIAL = (
    1 << 16
)  # bytes of a line of output without an end, such as a progress bar; then it is shown as far as it goes
# A status is shown again after so many seconds, or after this part of its bytes.
STATUS_SECONDS, STATUS_PART = 5.0, 0.05
UNITS = ("B", "kB", "MB", "GB", "TB")


def with_progress(step: Step, limit: EmulationLimit | None = None) -> Step:
    """The step of a build with raw JSON progress in place of plain, which is shown as before.

    Any buildx that lists builders as JSON (`builder.question`) knows it: both came with 0.13. `limit` stops the build.
    """
    at = next(i for i in range(len(step.argv)) if step.argv[i : i + 2] == PLAIN)
    argv = (*step.argv[:at], *RAW, *step.argv[at + 2 :])
    return replace(step, argv=argv, decoder=partial(Progress, step.title, limit))


def vertexes_of(outcome: Outcome) -> tuple[Vertex, ...]:
    """What the builder reported in all tries of a step; () for a step without raw JSON progress, and in a dry run."""
    return merge(decoder.vertexes for decoder in outcome.decoders if isinstance(decoder, Progress))


@dataclass(slots=True)
class _Shown:
    """What has been shown of a vertex."""

    number: int
    result: str = ""
    partial: bytes = b""  # the begin of a line of output
    partial_seconds: str = ""
    statuses: dict[str, StatusUpdate] = field(default_factory=dict)


class Progress:
    """Decodes the stderr of one build. `title` is that of its step, for messages."""

    def __init__(
        self, title: str = "", limit: EmulationLimit | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.title, self.limit, self.clock = title, limit, clock
        self.vertexes: dict[str, Vertex] = {}  # by digest, or by the name of a group
        self._groups: dict[str, str] = {}  # digest of a vertex -> its key in `vertexes`
        self._shown: dict[str, _Shown] = {}
        self._buffered: list[str] = []  # lines of an object that is not complete
        self._size = 0
        self._running: dict[str, Running] = {}

    def lines(self, line: str) -> Iterable[str]:
        """What to show for a line of stderr, both without line end. A line that is not a part of a progress is shown as it is."""
        if self._buffered:
            return self._continue(line)
        if line == "{":
            self._buffered, self._size = [line], 0
            return ()
        status = read_status(line) if line.startswith("{") else None
        return (line,) if status is None else tuple(self._apply(status))

    def _continue(self, line: str) -> tuple[str, ...]:
        """Read the next line of an object; only its last one begins without a space."""
        if not line.startswith((" ", "\t", "}")):
            return (*self._flush(), *self.lines(line))
        self._buffered.append(line)
        self._size += len(line)
        if line.startswith("}"):
            status = read_status("\n".join(self._buffered))
            if status is not None:
                self._buffered = []
                return tuple(self._apply(status))
            return self._flush()
        return self._flush() if len(self._buffered) > MAX_LINES or self._size > MAX_SIZE else ()

    def _flush(self) -> tuple[str, ...]:
        lines, self._buffered = tuple(self._buffered), []
        return lines

    def end(self) -> Iterable[str]:
        """What is still to be shown after the last line."""
        yield from self._flush()
        for shown in self._shown.values():
            yield from _rest(shown)

    def overdue(self, now: float) -> BuildError | None:
        """The error that stops the build: an emulated compiler runs for longer than the limit. `now` is of the same clock."""
        if self.limit is None:
            return None
        # Another thread reads the lines: a copy, so that the dictionary does not change meanwhile.
        return self.limit.overdue(self.title, tuple(self._running.values()), now)

    # --- events ---------------------------------------------------------------------------------------------------------

    def _apply(self, status: SolveStatus) -> Iterator[str]:
        changed: dict[str, None] = {}
        for update in status.vertexes or ():
            if (name := key(update)) in self.vertexes or len(self.vertexes) < MAX_VERTEXES:
                changed[name] = None
                yield from self._vertex(name, update)
        for entry in status.statuses or ():
            if shown := self._find(entry.vertex):
                yield from _status(shown, entry)
        for warning in status.warnings or ():
            if (shown := self._find(warning.vertex)) and warning.short:
                yield from _prefixed(shown, "WARN: " + _text(warning.short))
        for log in status.logs or ():
            if shown := self._find(log.vertex):
                yield from self._log(shown, log)
        # At the end: one object may say that a vertex has ended and runs again, and have the last of its output.
        for name in changed:
            yield from self._ended(name)

    def _find(self, digest: str) -> _Shown | None:
        """What has been shown of the step of a vertex, None for one that is not shown."""
        return self._shown.get(self._groups.get(digest, digest))

    def _vertex(self, name: str, update: VertexUpdate) -> Iterator[str]:
        if update.group and len(self._groups) < MAX_VERTEXES:
            self._groups[update.digest] = name
        vertex = self.vertexes.setdefault(name, Vertex(name=""))
        vertex.update(update)
        if vertex.shown and name not in self._shown:
            self._shown[name] = _Shown(number=len(self._shown) + 1)
            yield from _prefixed(self._shown[name], vertex.name)

    def _ended(self, name: str) -> Iterator[str]:
        """The result of a step, if it does not run any more; else it is watched."""
        vertex, shown = self.vertexes[name], self._shown.get(name)
        if vertex.is_running:
            if self.limit is not None and name not in self._running:
                running = self.limit.watched(vertex.name, self.clock())
                if running is not None:
                    self._running[name] = running
            return
        self._running.pop(name, None)
        result = _result(vertex)
        if shown and result != shown.result:
            shown.result = result
            yield from _rest(shown)
            yield from _prefixed(shown, result)

    def _log(self, shown: _Shown, log: LogUpdate) -> Iterator[str]:
        """The complete lines of a step's output, with the seconds since it began."""
        vertex = self.vertexes[self._groups.get(log.vertex, log.vertex)]
        at, started = seconds(log.timestamp), vertex.started
        passed = _precise(at - started if at is not None and started is not None else 0.0)
        if not shown.partial:
            shown.partial_seconds = passed
        *complete, partial = (shown.partial + (log.data or b"")).split(b"\n")
        for number, line in enumerate(complete):
            yield f"#{shown.number} {passed if number else shown.partial_seconds} {_text(line)}"
        if complete:
            shown.partial_seconds = passed
        shown.partial = partial
        if len(partial) > MAX_PARTIAL:
            yield from _rest(shown)


def _rest(shown: _Shown) -> Iterator[str]:
    """The last line of a step's output, if it has no end."""
    if shown.partial:
        yield f"#{shown.number} {shown.partial_seconds} {_text(shown.partial)}"
        shown.partial = b""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _prefixed(shown: _Shown, text: str) -> Iterator[str]:
    """The lines of `text`, the first with the number of the step, as in plain progress."""
    yield from f"#{shown.number} {text}".split("\n")


def _precise(passed: float) -> str:
    digits = 3 if passed < 10 else 2 if passed < 100 else 1
    return f"{passed:.{digits}f}"


def _result(vertex: Vertex) -> str:
    if error := vertex.error:
        return "CANCELED" if error.endswith(CANCELED) else f"ERROR: {error}"
    return "CACHED" if vertex.cached else f"DONE {vertex.seconds:.1f}s"


def _status(shown: _Shown, status: StatusUpdate) -> Iterator[str]:
    """A line for a status that is new, complete, or has changed much since the last one."""
    last, at = shown.statuses.get(status.id), seconds(status.timestamp) or 0.0
    if last is not None and not status.completed:
        part = (status.current - last.current) / status.total if status.total else 0.0
        if part < STATUS_PART and at - (seconds(last.timestamp) or 0.0) < STATUS_SECONDS:
            return
    if last is not None or len(shown.statuses) < MAX_VERTEXES:
        shown.statuses[status.id] = status
    if status.total:
        size = f" {_bytes(status.current)} / {_bytes(status.total)}"
    else:
        size = f" {_bytes(status.current)}" if status.current else ""
    started, ended = seconds(status.started), seconds(status.completed)
    passed = (ended or at) - started if started is not None else 0.0
    duration = f" {passed:.1f}s" if passed > 0.01 else ""
    yield from _prefixed(shown, f"{status.id}{size}{duration}{' done' if status.completed else ''}")


def _bytes(count: int) -> str:
    """A number of bytes as BuildKit prints it: 32B, 1.50kB."""
    size, unit = float(count), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.2f}{UNITS[unit]}" if unit else f"{count}B"
