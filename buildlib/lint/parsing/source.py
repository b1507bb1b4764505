"""A file as it is read: its bytes with what parsers stumble over taken out, each byte where it was."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ESCAPE = re.compile(rb"\A(?:[ \t]*#[^\n]*\n)*?[ \t]*#[ \t]*escape[ \t]*=[ \t]*(?P<mark>[\\`])", re.IGNORECASE)
# Between two lines of an instruction: comments, and empty lines, which end none that goes on.
GAP = re.compile(rb"\\\n(?:[ \t]*(?:#[^\n]*)?\n)+")


class Span(NamedTuple):
    """From and to, in bytes."""

    start: int
    end: int


@dataclass(frozen=True)
class Source:
    """`text` has as many bytes as the file."""

    path: Path
    raw: bytes

    @cached_property
    def text(self) -> bytes:
        """Line ends of Windows are an empty line more, spaces behind a continuation and empty lines within one are gone, without a
        byte more or less; the escape that a directive names is a backslash. BuildKit reads all of these alike."""
        told = self.raw
        if told.startswith(b"\xef\xbb\xbf"):
            told = b"   " + told[3:]
        told = told.replace(b"\r\n", b"\n\n").replace(b"\r", b" ").replace(b"\x00", b" ")
        mark = ESCAPE.match(told)
        if mark and mark["mark"] == b"`":
            told = re.sub(rb"`([ \t]*\n)", rb"\\\1", told)
        told = re.sub(rb"\\([ \t]+)\n", lambda found: found[1] + b"\\\n", told)
        return GAP.sub(_without_empty_lines, told)

    @property
    def newline(self) -> str:
        """What the file's lines end in."""
        return "\r\n" if b"\r\n" in self.raw else "\n"

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer(rb"\n", self.raw))]

    def line(self, at: int) -> int:
        """The number of the line, from 1, that a byte stands in."""
        return bisect_right(self._starts, at)

    def column(self, at: int) -> int:
        """Its column, from 1, in characters."""
        start = self._starts[self.line(at) - 1]
        return len(self.raw[start:at].decode("utf-8", "replace")) + 1

    def start_of(self, line: int) -> int:
        """Where a line begins."""
        return self._starts[line - 1]

    def part(self, span: Span) -> str:
        """The text between two bytes."""
        return self.text[span.start : span.end].decode("utf-8", "replace")


def _without_empty_lines(found: re.Match[bytes]) -> bytes:
    """Blanks at the end of the line above instead, in front of its backslash."""
    lines = found[0].split(b"\n")[:-1]
    told = [lines[0]]
    for line in lines[1:]:
        if line.strip():
            told.append(line)
        else:
            blanks = b" " * (len(line) + 1)
            told[-1] = blanks + told[-1] if len(told) == 1 else told[-1] + blanks
    return b"\n".join([*told, b""])
