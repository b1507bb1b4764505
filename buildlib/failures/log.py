"""A tool's log as lines that can be judged: colours, time stamps and BuildKit's prefixes off, raw JSON progress unrolled.

Pure. A line keeps the number that it has in the file a person looks at.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# ECMA-48: control sequences, then operating system commands, which end with BEL or ST, then the two-character ones.
ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-Z\\^_()][0-9A-B]?)")
# What stands before a tool's own words: GitHub's and Docker's time stamps, BuildKit's step and seconds.
PREFIX = re.compile(
    r"(?:\ufeff?\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d)\s+)?(?:#(\d+) (?:\d+\.\d+ )?|\d{1,5}\.\d{1,3} )?"
)
# Where GitHub ends the step that failed; what comes after it cleans up.
GITHUB_END = "##[error]process completed with exit code"


@dataclass(frozen=True, slots=True)
class Line:
    """`number` counts from 1, in the text that was given; `step` is BuildKit's number of it, "" outside of any."""

    index: int
    number: int
    step: str
    text: str


class Log:
    """Lines of a log by index, and a search in all of it that ignores case."""

    def __init__(self, output: str) -> None:
        text = _plain(output)
        raw = '"vertexes"' in text or '"statuses"' in text
        rows = _unrolled(text.split("\n")) if raw else list(enumerate(text.split("\n"), 1))
        end = max((i for i, (_, row) in enumerate(rows) if GITHUB_END in row.lower()), default=len(rows)) \
            if GITHUB_END in text.lower() else len(rows)  # fmt: skip
        self._rows = rows[: end + 1]
        lowered = [row.lower() for _, row in self._rows]
        self._low = "\n".join(lowered)
        self._starts, start = [], 0
        for row in lowered:
            self._starts.append(start)
            start += len(row) + 1

    def __len__(self) -> int:
        return len(self._rows)

    def line(self, index: int) -> Line:
        number, text = self._rows[index]
        found = PREFIX.match(text)
        return Line(index=index, number=number, step=found[1] or "", text=text[found.end() :].strip())

    def backwards(self, most: int) -> Iterator[Line]:
        """The last lines that say something, the last first."""
        for index in range(len(self) - 1, max(-1, len(self) - 1 - most), -1):
            line = self.line(index)
            if line.text:
                yield line

    def having(self, phrase: str, most: int) -> Iterator[int]:
        """The indices of the lines with a phrase in small letters, the last first, at most so many."""
        position = len(self._low)
        for _ in range(most):
            position = self._low.rfind(phrase, 0, position)
            if position < 0:
                return
            index = bisect_right(self._starts, position) - 1
            yield index
            position = self._starts[index]


def _plain(output: str) -> str:
    """Without colours; of a line that was written over again and again (a progress bar) what stood there last."""
    text = ESCAPES.sub("", output) if "\x1b" in output else output
    if "\r" in text:
        text = "\n".join(row.rstrip("\r").rpartition("\r")[2] for row in text.split("\n"))
    return text


def _unrolled(rows: list[str]) -> list[tuple[int, str]]:
    """BuildKit's --progress=rawjson as its plain progress would have it: steps get numbers in the order they are named."""
    steps: dict[str, int] = {}
    found: list[tuple[int, str]] = []
    for number, told in progress(rows):
        if isinstance(told, str):
            found.append((number, told))
            continue
        for vertex in _objects(told, "vertexes"):
            step = steps.setdefault(str(vertex.get("digest")), len(steps) + 1)
            if name := vertex.get("name"):
                found.append((number, f"#{step} {name}"))
            if error := vertex.get("error"):
                found.append(
                    (number, f"#{step} {'CANCELED' if 'context canceled' in str(error) else f'ERROR: {error}'}")
                )
        for said in _objects(told, "logs"):
            step = steps.setdefault(str(said.get("vertex")), len(steps) + 1)
            found += [(number, f"#{step} {part}") for part in _decoded(said.get("data")).split("\n")]
    return found


def progress(rows: list[str]) -> Iterator[tuple[int, str | dict[str, Any]]]:
    """The objects of a raw JSON progress with the numbers of the lines that they begin in, and the lines between them. buildx
    spreads an object over many lines, of which the last is a brace; others write one a line."""
    number = 0
    while number < len(rows):
        row, end = rows[number], number
        if row == "{":  # up to the next brace that begins a line, so that no line is looked at twice
            end = next((n for n in range(number + 1, len(rows)) if rows[n][:1] in ("{", "}")), number)
        told = _object("\n".join(rows[number : end + 1])) if row.startswith("{") else None
        yield (number + 1, row if told is None else told)
        number = (number if told is None else end) + 1


def _object(text: str) -> dict[str, Any] | None:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and told.keys() & {"vertexes", "logs", "statuses", "warnings"} else None


def _objects(told: dict[str, Any], key: str) -> list[dict[str, Any]]:
    values = told.get(key)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _decoded(data: Any) -> str:
    try:
        return _plain(base64.b64decode(data).decode("utf-8", "replace")) if isinstance(data, str) else ""
    except (binascii.Error, ValueError):
        return ""
