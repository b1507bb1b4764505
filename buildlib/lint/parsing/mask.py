"""Mask the shell text of a Dockerfile for the Dockerfile grammar, which would misread it; the bash grammar parses it instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from buildlib.lint.parsing.source import Span

# Between words: spaces, continuations, and comments on lines of their own.
GAP = r"(?:(?<=\n)[ \t]*#[^\n]*\n|[ \t]|\\\n)+"
FLAGS = rf"(?:{GAP}--[a-z][\w-]*(?:=(?:\"[^\"\n]*\"|[^\s\"])+)?)*"
# The start of an instruction with a script or heredocs, and its flags.
HEAD = re.compile(
    rf"^[ \t]*(?:ONBUILD{GAP})?(?:(?P<files>COPY|ADD)|RUN|CMD|ENTRYPOINT|HEALTHCHECK{FLAGS}{GAP}CMD)\b{FLAGS}{GAP}".encode(),
    re.IGNORECASE | re.MULTILINE,
)
# The rest of an instruction: lines that end in a backslash, comments between them, and the last line.
BODY = re.compile(rb"(?:[^\n]*\\\n(?:[ \t]*#[^\n]*(?:\n|\Z))*)*[^\n]*")
COMMENT = re.compile(rb"(?<=\n)[ \t]*#[^\n]*")
# Comments and continuations are kept, everything else is masked.
KEPT = re.compile(rb"(" + COMMENT.pattern + rb"|\\(?=\n|\Z))")
# An x for every byte that is not whitespace.
MASK = bytes(byte if byte in b" \t\n\r\f\v" else ord("x") for byte in range(256))
# An x for every byte of another character: the scanners of the grammars (tree-sitter-bash 0.25.1) pass it to isalpha() of C, which
# reads outside of its table, and may end the process.
ASCII = bytes(byte if byte < 128 else ord("x") for byte in range(256))
# A heredoc operator begins a word (BuildKit's rule). It is not one within quotes, and <<< belongs to the shell.
HEREDOC = re.compile(
    rb"\"(?:\\.|[^\"\\])*\"|'[^']*'|\\.|(?P<mark>(?<!\S)\d*<<(?P<tabs>-?)(?P<quote>[\"']?)(?P<name>[A-Za-z_][\w.-]*)(?P=quote))",
    re.DOTALL,
)
# What the grammar does not know: ${NAME#pattern}, %, / and their doubles; words after an ARG (BuildKit takes a # for one); a user
# name in quotes, or with a backslash; a directory with spaces, which WORKDIR takes as they are.
PATTERN_EXPANSION = re.compile(rb"(?<=\$\{)(?P<name>\w+)(?P<cut>[#%/][^}\n]+)(?=\})")
AFTER_ARG = re.compile(rb"^([ \t]*ARG[ \t][^\n#]*[ \t])(#[^\n]*)", re.IGNORECASE | re.MULTILINE)
# A # within a word of ADD and COPY, and everything else up to the end of the word: https://github.com/a/b.git#v1.
ADD = re.compile(rb"^[ \t]*(?:ADD|COPY)\b", re.IGNORECASE | re.MULTILINE)
FRAGMENT = re.compile(rb"(?<=[^\s\\])#")
# Keys with other characters than letters, digits and _: ENV PKG_CONFIG_PATH_arm-linux=/x. BuildKit takes any text before the =.
PAIRS = re.compile(rf"^[ \t]*(?:ONBUILD{GAP})?(?:ENV|ARG|LABEL){GAP}".encode(), re.IGNORECASE | re.MULTILINE)
PAIR = re.compile(
    rb"(?P<gap>(?:(?<=\n)[ \t]*#[^\n]*\n|\s|\\\n)*)(?P<key>[^\s=\\]+)(?P<value>=(?:\"(?:\\.|[^\"\\])*\"|'[^']*'|\\.|[^\s\"'\\])*)?",
    re.DOTALL,
)
# What the grammar takes for more than text in a value of ENV and LABEL: $(id -u), `id`.
SUBSTITUTION = re.compile(rb"`|\$\(")
WORKDIR = re.compile(
    rb"^(?P<head>[ \t]*WORKDIR[ \t]+)(?P<path>[^\n\\]*[^\s\\])(?=[ \t]*$)", re.IGNORECASE | re.MULTILINE
)
USER = re.compile(rb"^(?P<head>[ \t]*USER[ \t]+)(?P<name>[^\n\\]\S*|\\\$\S*)", re.IGNORECASE | re.MULTILINE)


def mask_scripts(text: bytes) -> bytes:
    """The text with an x for each byte of a script or heredoc, so that every byte keeps its offset."""
    parts, end = [], 0
    for span, masked in _masked_parts(text):
        parts += [_without_unknown_syntax(text[end : span.start]), masked]
        end = span.end
    return b"".join([*parts, _without_unknown_syntax(text[end:])]).translate(ASCII)


def _without_unknown_syntax(text: bytes) -> bytes:
    if b"${" in text:
        text = PATTERN_EXPANSION.sub(lambda match: match["name"] + b":-".ljust(len(match["cut"]), b"x"), text)
    if b"#" in text:
        text = AFTER_ARG.sub(lambda match: match[1] + b" " * len(match[2]), text)
        text = _without_fragments(text)
    text = WORKDIR.sub(_without_spaces, _with_plain_pairs(text))
    return USER.sub(lambda match: match["head"] + re.sub(rb"[\"'\\]|(?<=\\)\$", b"x", match["name"]), text)


def _without_fragments(text: bytes) -> bytes:
    """The text with an x for each # within a word of ADD and COPY, which the grammar takes for the start of a comment."""
    parts, end = [], 0
    for head in ADD.finditer(text):
        body = BODY.match(text, head.end())
        if body and b"#" in body[0]:
            parts += [text[end : body.start()], FRAGMENT.sub(b"x", body[0])]
            end = body.end()
    return b"".join([*parts, text[end:]])


def _with_plain_pairs(text: bytes) -> bytes:
    """The text with an x for each character of a key, and of a value with a substitution, that the grammar does not know."""
    parts, end = [], 0
    for head in PAIRS.finditer(text):
        body = BODY.match(text, head.end())
        at = head.end()
        while body and at < body.end() and (pair := PAIR.match(text, at, body.end())):
            parts += [text[end : pair.start("key")], re.sub(rb"\W", b"x", pair["key"])]
            end = pair.end("key")
            at = pair.end()
            value = pair["value"]
            is_rest = value is None and b"ARG" not in head[0].upper()  # ENV NAME the rest of the line
            if is_rest:
                value, at = text[end : body.end()], body.end()
            if value and SUBSTITUTION.search(value):
                parts.append(_masked(value, []) if is_rest else _plain(value))
                end = at
            if pair["value"] is None:
                break
    return b"".join([*parts, text[end:]])


def _plain(value: bytes) -> bytes:
    """The value with an x for each character but quotes, backslashes and whitespace."""
    return value[:1] + re.sub(rb"[^\s\"'\\]", b"x", value[1:])


def _without_spaces(match: re.Match[bytes]) -> bytes:
    path = match["path"]
    is_unknown = re.search(rb"[\s\"'`]|\$\(", path)
    return match["head"] + (b"x" * len(path) if is_unknown else path)


def _masked_parts(text: bytes) -> Iterator[tuple[Span, bytes]]:
    """Scripts and heredocs, each with its masked text."""
    at = 0
    while head := HEAD.search(text, at):
        body = BODY.match(text, head.end())
        at = body.end() if body else head.end()
        script = text[head.end() : at]
        is_exec_form = _is_exec_form(script)
        heredocs = []
        if not is_exec_form and b"<<" in script:
            heredocs = [match for match in HEREDOC.finditer(COMMENT.sub(_spaces, script)) if match["mark"]]
        if not is_exec_form and not head["files"]:
            yield Span(head.end(), at), _masked(script, [Span(*match.span("mark")) for match in heredocs])
        for match in heredocs:
            indent = rb"\t*" if match["tabs"] else b""
            last = re.compile(rb"^%s%s$" % (indent, re.escape(match["name"])), re.MULTILINE).search(text, at + 1)
            start, at = at, last.start() if last else len(text)
            yield Span(start, at), text[start:at].translate(MASK)
            at = last.end() if last else at


def _masked(script: bytes, kept: list[Span]) -> bytes:
    parts = KEPT.split(script)  # kept parts have odd numbers
    masked = bytearray(b"".join(part if number % 2 else part.translate(MASK) for number, part in enumerate(parts)))
    for span in kept:
        masked[span.start : span.end] = script[span.start : span.end]
    return bytes(masked)


def _spaces(match: re.Match[bytes]) -> bytes:
    return b" " * len(match[0])


def _is_exec_form(body: bytes) -> bool:
    """Whether it is a JSON list of strings, which may continue over several lines."""
    if not body.startswith(b"["):
        return False
    joined = re.sub(rb"(?<=\n)[ \t]*#[^\n]*\n|\\\n", b"", body)
    try:
        words = json.loads(joined)
    except (ValueError, RecursionError):
        return False
    return isinstance(words, list) and all(isinstance(word, str) for word in words)
