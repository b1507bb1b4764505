"""A tool's log as lines without colours and prefixes; raw JSON progress and logs of JSON objects become plain lines.

Pure. A line keeps its number in the file that the user has.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, chain
from typing import Any

from buildlib.failures.prefix import split, spoken, without_names

# ECMA-48: control sequences, then commands and strings, which end with BEL or ST, then the two-character ones. The last are
# colours in a log that was copied from a page or through `cat -v`.
ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;:?<=>]*[ -/]*[@-~]|[\]_PX^][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-Z\\()][0-9A-B]?)|(?:\^\[|␛)\[[0-9;]*[mK]"
)
WORD = re.compile("[a-z]{3,}")
SHORT = 20_000  # characters in which looking for a phrase is faster than finding its words
WINDOW = 50_000  # characters of the last part of a log that is searched by itself: it decides in most cases
MAX_ROW = 20_000  # characters of a line that are looked at; a linker's command line has fewer
WIDTH = 1000  # characters of a neighbour that are looked at, at both ends; a linker's command line has many thousands
# Where GitHub ends the step that failed; the lines after it are about cleaning up.
GITHUB_END = "##[error]process completed with exit code"
# Between these GitHub's runner shows what a step is going to run, with comments (src/Runner.Worker/Handlers/ScriptHandler.cs).
GITHUB_RUN, GITHUB_RUN_END = "##[group]Run ", "##[endgroup]"
MAX_SCRIPT = 2000  # lines of such a script


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log.

    `index` counts the lines of the `Log` from 0, `number` those of the original text from 1. `step` is BuildKit's number of the
    step that printed it, "" outside of any. `indent` is how many spaces were before the text.
    """

    index: int
    number: int
    step: str
    text: str
    indent: int = 0


@cache
def longest_word(phrase: str) -> str:
    """The longest word of a phrase, "" if it has none; a log with the phrase has a word that contains this one."""
    return max(WORD.findall(phrase), key=len, default="")


class Log:
    """The lines of a log by index, and a case-insensitive search in all of it."""

    def __init__(self, output: str) -> None:
        text = _plain(output)
        is_raw_json = '"vertexes"' in text or '"statuses"' in text
        rows = _plain_progress(text.split("\n")) if is_raw_json else _rows(text.split("\n"))
        if not is_raw_json:
            if text.startswith("{") or "\n{" in text:
                rows = [(number, line) for number, row in rows for line in spoken(row) or (row,)]
            rows = without_names(rows)
            if "#" in text and GITHUB_RUN in text:
                rows = _without_scripts(rows)
        end = len(rows)
        if GITHUB_END in text.lower():
            end = max((i for i, (_, row) in enumerate(rows) if GITHUB_END in row.lower()), default=end)
        self._rows = [(number, row if len(row) <= MAX_ROW else _ends(row)) for number, row in rows[: end + 1]]
        self._lines: dict[int, Line] = {}
        lowered = [row.lower() for _, row in self._rows]
        self._lowered = "\n".join(lowered)
        self._reversed = self._lowered[::-1]  # `find` is several times faster than `rfind`
        self._starts = list(accumulate((len(row) + 1 for row in lowered), initial=0))
        self._words: dict[range, str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def line(self, index: int) -> Line:
        """The line at `index`, without its prefix."""
        if known := self._lines.get(index):
            return known
        number, row = self._rows[index]
        step, rest = split(row)
        text = rest.lstrip()
        line = Line(index=index, number=number, step=step, text=text.rstrip(), indent=len(rest) - len(text))
        self._lines[index] = line
        return line

    def above(self, line: Line, most: int) -> str:
        """The `most` lines above `line`, in order, of the same step and without blank ones."""
        return "\n".join(reversed(list(self._neighbours(line, range(line.index - 1, -1, -1), most))))

    def below(self, line: Line, most: int) -> str:
        """The `most` lines below `line`, of the same step and without blank ones."""
        return "\n".join(self._neighbours(line, range(line.index + 1, len(self)), most))

    def _neighbours(self, line: Line, indices: range, most: int) -> Iterator[str]:
        for other in map(self.line, indices[: 4 * most]):
            if other.text and other.step == line.step and most > 0:
                most -= 1
                yield (
                    other.text
                    if len(other.text) <= WIDTH
                    else f"{other.text[: WIDTH // 2]} {other.text[-WIDTH // 2 :]}"
                )

    def backwards(self, most: int) -> Iterator[Line]:
        """The lines among the last `most` that are not blank, the last first."""
        for index in range(len(self) - 1, max(-1, len(self) - 1 - most), -1):
            line = self.line(index)
            if line.text:
                yield line

    @cached_property
    def windows(self) -> list[range]:
        """The indices of all lines in parts, the last part first; each is about twice as long as the one after it."""
        parts, end, size = [], len(self), WINDOW
        while end > 0:
            start = min(bisect_left(self._starts, self._starts[end] - size), end - 1)
            parts.append(range(start, end))
            end, size = start, 2 * size
        return parts

    def having(self, phrase: str, most: int, lines: range | None = None) -> Iterator[int]:
        """The indices of lines that contain `phrase`, which is in lower case; the last first, at most `most`.

        Only those in `lines`, which is one of the `windows`; without it in the whole log.
        """
        if lines is not None and longest_word(phrase) not in self._words_of(lines):
            return
        length, backwards = len(self._reversed), phrase[::-1]
        start, end = (self._starts[lines.start], self._starts[lines.stop]) if lines else (0, length)
        position = length - min(end, length)
        for _ in range(most):
            position = self._reversed.find(backwards, position, length - start)
            if position < 0:
                return
            index = bisect_right(self._starts, length - position - len(phrase)) - 1
            yield index
            position = length - self._starts[index]

    def _words_of(self, lines: range) -> str:
        """Every word in these lines once: most phrases are in no line, and this text is much shorter than that of a long log."""
        if lines not in self._words:
            text = self._lowered[self._starts[lines.start] : self._starts[lines.stop]]
            self._words[lines] = " ".join(set(WORD.findall(text))) if len(text) > SHORT else text
        return self._words[lines]


def _ends(row: str) -> str:
    """The beginning and the end of a line that is too long."""
    return f"{row[: MAX_ROW // 2]} … {row[-MAX_ROW // 2 :]}"


def _plain(output: str) -> str:
    """Remove colours; of a line that was overwritten (a progress bar) keep the last version."""
    # One character is found much faster than three.
    marked = "\x1b" in output or "␛" in output or ("^" in output and "^[[" in output)
    text = ESCAPES.sub("", output) if marked else output
    if "\r" in text:
        text = "\n".join(row.rstrip("\r").rpartition("\r")[2] for row in text.split("\n"))
    return text


def _rows(lines: list[str]) -> list[tuple[int, str]]:
    """The lines with their numbers, of several blank ones the first: a file may have millions of them."""
    pairs = enumerate(zip(chain(("-",), lines), lines, strict=False), 1)
    return [(number, line) for number, (before, line) in pairs if line or before]


def _without_scripts(rows: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The rows without the scripts that GitHub's runner shows before it runs them: what is written there has not happened."""
    kept, at = [], 0
    while at < len(rows):
        end = None
        if GITHUB_RUN in rows[at][1]:
            following = range(at + 1, min(at + MAX_SCRIPT, len(rows)))
            end = next((index for index in following if "##[" in rows[index][1]), None)
        if end is not None and GITHUB_RUN_END in rows[end][1]:
            at = end
        kept.append(rows[at])
        at += 1
    return kept


def _plain_progress(rows: list[str]) -> list[tuple[int, str]]:
    """BuildKit's --progress=rawjson as its plain progress: numbered lines; steps get numbers in the order they appear."""
    steps: dict[str, int] = {}
    lines: list[tuple[int, str]] = []
    for number, item in progress(rows):
        if isinstance(item, str):
            lines.append((number, item))
            continue
        for vertex in _objects(item, "vertexes"):
            step = steps.setdefault(str(vertex.get("digest")), len(steps) + 1)
            if name := vertex.get("name"):
                lines.append((number, f"#{step} {name}"))
            if error := vertex.get("error"):
                text = "CANCELED" if "context canceled" in str(error) else f"ERROR: {error}"
                lines.append((number, f"#{step} {text}"))
        for entry in _objects(item, "logs"):
            step = steps.setdefault(str(entry.get("vertex")), len(steps) + 1)
            lines += [(number, f"#{step} {part}") for part in _decoded(entry.get("data")).split("\n")]
    return lines


def progress(rows: list[str]) -> Iterator[tuple[int, str | dict[str, Any]]]:
    """The objects of a raw JSON progress with the numbers of their first lines, and the lines between them.

    buildx spreads an object over many lines, of which the last is a brace; other tools write one per line.
    """
    number = 0
    while number < len(rows):
        row, end = rows[number], number
        if row == "{":  # up to the next brace that begins a line, so that no line is looked at twice
            end = next((n for n in range(number + 1, len(rows)) if rows[n][:1] in ("{", "}")), number)
        parsed = _object("\n".join(rows[number : end + 1])) if row.startswith("{") else None
        yield (number + 1, row if parsed is None else parsed)
        number = (number if parsed is None else end) + 1


def _object(text: str) -> dict[str, Any] | None:
    """The object of a raw JSON progress, None for any other text."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) and parsed.keys() & {"vertexes", "logs", "statuses", "warnings"} else None


def _objects(parent: dict[str, Any], key: str) -> list[dict[str, Any]]:
    values = parent.get(key)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _decoded(data: object) -> str:
    """The text of base64 data, "" for anything else."""
    try:
        return _plain(base64.b64decode(data).decode("utf-8", "replace")) if isinstance(data, str) else ""
    except (binascii.Error, ValueError):
        return ""
