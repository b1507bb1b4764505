"""The bytes of a file, cleaned of what parsers stumble over, with every byte at its old offset."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import NamedTuple

from buildlib.lint.parsing.arch_words import arches_of_path

ESCAPE = re.compile(rb"\A(?:[ \t]*#[^\n]*\n)*?[ \t]*#[ \t]*escape[ \t]*=[ \t]*(?P<mark>[\\`])", re.IGNORECASE)
# Between two lines of an instruction: comments and empty lines, which do not end a continued instruction.
GAP = re.compile(rb"\\\n(?:[ \t]*(?:#[^\n]*)?\n)+")


class Span(NamedTuple):
    """A range of byte offsets; `end` is exclusive."""

    start: int
    end: int


@dataclass(frozen=True)
class Source:
    """One file. `text` has as many bytes as `raw`.

    `path` is what messages show; `place` is the path below the root of the repository, whose names may say what the file is for.
    """

    path: Path
    raw: bytes
    place: PurePath | None = None

    @cached_property
    def arches(self) -> frozenset[str]:
        """The architectures that the file is for, by its name and its directories."""
        return arches_of_path(self.place or self.path)

    @cached_property
    def text(self) -> bytes:
        r"""The bytes that are parsed, each at its old offset; BuildKit reads the changed text in the same way.

        A CRLF line end becomes two LF, so that it adds an empty line. Spaces after a continuation and empty lines within one are
        moved. The escape character of an `escape` directive becomes a backslash.
        """
        text = self.raw
        if text.startswith(b"\xef\xbb\xbf"):
            text = b"   " + text[3:]
        text = text.replace(b"\r\n", b"\n\n").replace(b"\r", b" ").replace(b"\x00", b" ")
        escape = ESCAPE.match(text)
        if escape and escape["mark"] == b"`":
            text = re.sub(rb"`([ \t]*\n)", rb"\\\1", text)
        if b"\\" not in text:
            return text
        text = re.sub(rb"\\([ \t]+)\n", lambda match: match[1] + b"\\\n", text)
        return GAP.sub(_without_empty_lines, text)

    @cached_property
    def newline(self) -> str:
        """The line end of the file."""
        return "\r\n" if b"\r\n" in self.raw else "\n"

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer(rb"\n", self.raw))]

    def line(self, offset: int) -> int:
        """The number, from 1, of the line with the byte at `offset`."""
        return bisect_right(self._line_starts, offset)

    def column(self, offset: int) -> int:
        """The column, from 1 and in characters, of the byte at `offset`."""
        start = self._line_starts[self.line(offset) - 1]
        return len(self.raw[start:offset].decode("utf-8", "replace")) + 1

    def line_start(self, line: int) -> int:
        """The offset at which a line begins."""
        return self._line_starts[line - 1]

    def text_at(self, span: Span) -> str:
        """The parsed text of a range."""
        return self.text[span.start : span.end].decode("utf-8", "replace")


def _without_empty_lines(match: re.Match[bytes]) -> bytes:
    """Replace each empty line by spaces at the end of the line above, before its backslash."""
    lines = match[0].split(b"\n")[:-1]
    kept = [lines[0]]
    for line in lines[1:]:
        if line.strip():
            kept.append(line)
        else:
            spaces = b" " * (len(line) + 1)
            kept[-1] = spaces + kept[-1] if len(kept) == 1 else kept[-1] + spaces
    return b"\n".join([*kept, b""])
