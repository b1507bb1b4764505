"""A Dockerfile without its shell text, for the grammar of Dockerfiles to read: what stands in a RUN is the shell's grammar's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from buildlib.lint.parsing.source import Span

# Between words: blanks, continuations, and comments on lines of their own.
GAP = r"(?:(?<=\n)[ \t]*#[^\n]*\n|[ \t]|\\\n)+"
FLAGS = rf"(?:{GAP}--[a-z][\w-]*(?:=(?:\"[^\"\n]*\"|[^\s\"])+)?)*"
# An instruction that has a script or heredocs, with the flags in front of that.
HEAD = re.compile(
    rf"^[ \t]*(?:ONBUILD{GAP})?(?:(?P<files>COPY|ADD)|RUN|CMD|ENTRYPOINT|HEALTHCHECK{FLAGS}{GAP}CMD)\b{FLAGS}{GAP}".encode(),
    re.IGNORECASE | re.MULTILINE,
)
# As far as it goes on: lines that end in a backslash, comments between them, and the last line.
BODY = re.compile(rb"(?:[^\n]*\\\n(?:[ \t]*#[^\n]*(?:\n|\Z))*)*[^\n]*")
COMMENT = re.compile(rb"(?<=\n)[ \t]*#[^\n]*")
# Comments and the ends of lines that go on stay, the rest is masked.
KEPT = re.compile(COMMENT.pattern + rb"|\\(?=\n|\Z)|(?P<masked>\S)")
# A heredoc's mark begins a word (BuildKit's rule); what is quoted has none, and <<< is the shell's.
MARK = re.compile(
    rb"\"(?:\\.|[^\"\\])*\"|'[^']*'|\\.|(?P<mark>(?<!\S)\d*<<(?P<tabs>-?)(?P<quote>[\"']?)(?P<name>[A-Za-z_][\w.-]*)(?P=quote))",
    re.DOTALL,
)
# What the grammar does not have: ${NAME#pattern}, %, / and their doubles; words behind an ARG (a # is one, for BuildKit); a user's
# name in quotes, or with a backslash.
CUT = re.compile(rb"(?<=\$\{)(?P<name>\w+)(?P<cut>[#%/][^}\n]+)(?=\})")
BEHIND_ARG = re.compile(rb"^([ \t]*ARG[ \t][^\n#]*[ \t])(#[^\n]*)", re.IGNORECASE | re.MULTILINE)
USER = re.compile(rb"^(?P<head>[ \t]*USER[ \t]+)(?P<name>[^\n\\]\S*|\\\$\S*)", re.IGNORECASE | re.MULTILINE)


def frame(text: bytes) -> bytes:
    """The text with an x for each byte of a script and of a heredoc, so that each byte stays where it was."""
    told, end = [], 0
    for span, masked in _parts(text):
        told += [_plain(text[end : span.start]), masked]
        end = span.end
    return b"".join([*told, _plain(text[end:])])


def _plain(text: bytes) -> bytes:
    text = CUT.sub(lambda found: found["name"] + b":-".ljust(len(found["cut"]), b"x"), text)
    text = USER.sub(lambda found: found["head"] + re.sub(rb"[\"'\\]|(?<=\\)\$", b"x", found["name"]), text)
    return BEHIND_ARG.sub(lambda found: found[1] + b" " * len(found[2]), text)


def _parts(text: bytes) -> Iterator[tuple[Span, bytes]]:
    """Scripts and heredocs, and what becomes of them."""
    at = 0
    while head := HEAD.search(text, at):
        body = BODY.match(text, head.end())
        at = body.end() if body else head.end()
        script = text[head.end() : at]
        is_array = _is_array(script)
        marks = [] if is_array else [found for found in MARK.finditer(COMMENT.sub(_blank, script)) if found["mark"]]
        if not is_array and not head["files"]:
            yield Span(head.end(), at), _masked(script, [Span(*mark.span("mark")) for mark in marks])
        for mark in marks:
            last = re.compile(rb"^%s%s$" % (rb"\t*" if mark["tabs"] else b"", re.escape(mark["name"])), re.MULTILINE)
            found = last.search(text, at + 1)
            start, at = at, found.start() if found else len(text)
            yield Span(start, at), re.sub(rb"\S", b"x", text[start:at])
            at = found.end() if found else at


def _masked(script: bytes, kept: list[Span]) -> bytes:
    told = bytearray(KEPT.sub(lambda found: b"x" if found["masked"] else found[0], script))
    for span in kept:
        told[span.start : span.end] = script[span.start : span.end]
    return bytes(told)


def _blank(found: re.Match[bytes]) -> bytes:
    return b" " * len(found[0])


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
