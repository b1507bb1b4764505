"""A Dockerfile without its shell text, for the grammar of Dockerfiles to read: what stands in a RUN is the shell's grammar's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from buildlib.lint.source import Span

# Between words: blanks, continuations, and comments on lines of their own.
GAP = r"(?:(?<=\n)[ \t]*#[^\n]*\n|[ \t]|\\\n)+"
FLAGS = rf"(?:{GAP}--[a-z][\w-]*(?:=(?:\"[^\"\n]*\"|[^\s\"])+)?)*"
# An instruction that has a script, with the flags in front of that.
HEAD = re.compile(
    rf"^[ \t]*(?:ONBUILD{GAP})?(?:RUN|CMD|ENTRYPOINT|HEALTHCHECK{FLAGS}{GAP}CMD)\b{FLAGS}{GAP}".encode(),
    re.IGNORECASE | re.MULTILINE,
)
# As far as it goes on: lines that end in a backslash, comments between them, and the last line.
BODY = re.compile(rb"(?:[^\n]*\\\n(?:[ \t]*#[^\n]*(?:\n|\Z))*)*[^\n]*")
# What stays: comments, the ends of lines that go on, and heredocs, whose marks begin a word (BuildKit's rule; <<< is the shell's).
# The rest is words.
KEPT = re.compile(rb"(?<=\n)[ \t]*#[^\n]*|\\(?=\n|\Z)|(?<!\S)\d*<<-?[\"']?[A-Za-z_][\w.-]*[\"']?|(?P<masked>\S)")


def frame(text: bytes) -> bytes:
    """The text with an x for each byte of a script, so that each byte stays where it was."""
    told, end = [], 0
    for span in _bodies(text):
        body = text[span.start : span.end]
        told += [text[end : span.start], body if _is_array(body) else KEPT.sub(_x, body)]
        end = span.end
    return b"".join([*told, text[end:]])


def _bodies(text: bytes) -> Iterator[Span]:
    at = 0
    while head := HEAD.search(text, at):
        body = BODY.match(text, head.end())
        at = body.end() if body else head.end()
        yield Span(head.end(), at)


def _x(found: re.Match[bytes]) -> bytes:
    return b"x" if found["masked"] else found[0]


def _is_array(body: bytes) -> bool:
    """Whether it is an exec form: a list of strings, which may go on over several lines."""
    if not body.startswith(b"["):
        return False
    plain = re.sub(rb"(?<=\n)[ \t]*#[^\n]*\n|\\\n", b"", body)
    try:
        told = json.loads(plain)
    except ValueError:
        return False
    return isinstance(told, list) and all(isinstance(word, str) for word in told)
