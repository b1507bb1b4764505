"""What BuildKit reports of a build (`--progress rawjson`): its vertexes, which are the steps, and when each of them ran. Pure.

The rules are those of BuildKit's own display (util/progress/progressui/display.go): a vertex may run several times, its time is the
union of these intervals, and the vertexes of a progress group, such as the parts of a COPY, are one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec
from msgspec import Struct

MAX_VERTEXES = 10_000  # that are remembered; a Dockerfile with a thousand instructions for eight platforms has fewer
MAX_INTERVALS = 1_000  # of one vertex
CANCELED = "context canceled"  # how the errors of steps end that BuildKit stopped because another one failed


class ProgressGroup(Struct, frozen=True):
    """Vertexes that are shown as one. `weak` ones do not show the group by themselves."""

    id: str = ""
    name: str = ""
    weak: bool = False


class VertexUpdate(Struct, frozen=True, rename={"group": "progressGroup"}):
    """The state of a vertex. Times are in RFC 3339."""

    digest: str
    name: str = ""
    started: str | None = None
    completed: str | None = None
    cached: bool = False
    error: str = ""
    group: ProgressGroup | None = None


class StatusUpdate(Struct, frozen=True):
    """The progress of something within a vertex, such as the download of a layer. Numbers are bytes."""

    id: str
    vertex: str = ""
    current: int = 0
    total: int = 0
    timestamp: str | None = None
    started: str | None = None
    completed: str | None = None


class LogUpdate(Struct, frozen=True):
    """A piece of the output of a vertex, which begins and ends anywhere; JSON has it in base64."""

    vertex: str = ""
    data: bytes | None = None
    timestamp: str | None = None


class WarningUpdate(Struct, frozen=True):
    """A warning about a vertex."""

    vertex: str = ""
    short: bytes | None = None


class SolveStatus(Struct, frozen=True):
    """One object of the raw JSON: what has changed."""

    vertexes: tuple[VertexUpdate, ...] | None = None
    statuses: tuple[StatusUpdate, ...] | None = None
    logs: tuple[LogUpdate, ...] | None = None
    warnings: tuple[WarningUpdate, ...] | None = None


def read_status(text: str) -> SolveStatus | None:
    """The object of a raw JSON progress, None for any other text."""
    try:
        status = msgspec.json.decode(text, type=SolveStatus)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    is_empty = status == SolveStatus()
    return status if not is_empty or text.strip() == "{}" else None


@dataclass(slots=True)
class Vertex:
    """One step, as far as it is known. Keys of `intervals` are the times of starts, values those of ends, in seconds since 1970."""

    name: str
    intervals: dict[float, float | None] = field(default_factory=dict)
    members: dict[str, VertexUpdate] = field(default_factory=dict)  # the last update of each vertex; of a group several
    shown: bool = False  # False for a group of which only weak members have run

    def update(self, vertex: VertexUpdate) -> None:
        """Take over a new state of one of its members."""
        self.name = vertex.group.name if vertex.group else vertex.name or self.name
        if vertex.digest in self.members or len(self.members) < MAX_VERTEXES:
            self.members[vertex.digest] = vertex
        started = seconds(vertex.started)
        if started is not None and (started in self.intervals or len(self.intervals) < MAX_INTERVALS):
            self.intervals[started] = seconds(vertex.completed)
        if vertex.error or (started is not None and not (vertex.group and vertex.group.weak)):
            self.shown = True

    @property
    def is_running(self) -> bool:
        """Whether it has started, and not ended since."""
        return any(end is None for end in self.intervals.values())

    @property
    def started(self) -> float | None:
        """When its last interval began, in seconds since 1970."""
        return max(self.intervals, default=None)

    @property
    def cached(self) -> bool:
        """Whether BuildKit had the result already."""
        return all(member.cached for member in self.members.values())

    @property
    def error(self) -> str:
        """Why it failed, "" if it did not."""
        return next((member.error for member in self.members.values() if member.error), "")

    @property
    def seconds(self) -> float:
        """The time in which it ran, as BuildKit counts it."""
        return union((start, end) for start, end in self.intervals.items() if end is not None)


def key(vertex: VertexUpdate) -> str:
    """What identifies the step of a vertex: its digest, or that of its group."""
    return vertex.group.id if vertex.group else vertex.digest


def union(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals, each a start and an end. An end before its start counts as nothing."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def merge(tries: Iterable[Mapping[str, Vertex]]) -> tuple[Vertex, ...]:
    """The vertexes of several tries of one build: what the first has run is cached in the next.

    They are matched by name, because digests change with the session.
    """
    merged: dict[str, Vertex] = {}
    for vertexes in tries:
        for vertex in vertexes.values():
            known = merged.get(vertex.name)
            if known is None or known.cached:
                merged[vertex.name] = replace(vertex, intervals={**vertex.intervals}, members={**vertex.members})
            elif not vertex.cached:
                known.intervals.update(vertex.intervals)
                known.members.update(vertex.members)
    return tuple(merged.values())


def seconds(time: str | None) -> float | None:
    """A time of RFC 3339 in seconds since 1970; None for None and for any other text."""
    try:
        return datetime.fromisoformat(time).timestamp() if time else None
    except (ValueError, OverflowError, OSError):
        return None
