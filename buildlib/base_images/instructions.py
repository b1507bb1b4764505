"""The instructions of a Dockerfile, read line by line as BuildKit does. Pure.

Model: frontend/dockerfile/parser of BuildKit (parser.go, line_parsers.go, split_command.go, directives.go), the same in 0.25 and in
the versions of 2026. `lint.parsing` reads with a grammar, because it needs the places of words in scripts and continues after what
it cannot parse. The two differ: the grammar cannot parse `COPY <<"EOF"` with flags, which BuildKit's own Dockerfile has. What decides
which images a build uses must not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from buildlib.base_images.patterns import SyntaxFault
from buildlib.base_images.words import SPACES, raw_words
from buildlib.core.targets import suggestion

NAMES = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN",
    "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip
WITH_HEREDOCS = frozenset({"ADD", "COPY", "RUN"})
BLANKS = re.compile(r"[\t\v\f\r ]+")
HEREDOC = re.compile(r"\d*<<(?P<chomp>-?)\s*(?P<word>[^<]+)", re.ASCII)
DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)", re.ASCII)
DIRECTIVES = frozenset({"syntax", "escape", "check"})
CONTINUED = {mark: re.compile(rf"([^{re.escape(mark)}]|^){re.escape(mark)}[ \t]*$") for mark in "\\`"}
MAX_LINE = 65535  # bytes, bufio.MaxScanTokenSize


class LineFault(SyntaxFault):
    """A line that BuildKit does not accept."""

    def __init__(self, line: int, message: str, help: str = "") -> None:
        super().__init__(message)
        self.line, self.help = line, help


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction. `args` is the text after its flags, without heredocs."""

    name: str  # in upper case
    line: int  # of its first word, from 1
    flags: tuple[str, ...] = ()  # "--from=build"
    args: str = ""

    def values(self, flag: str) -> list[str]:
        """The values of a flag that may be repeated."""
        pairs = [written.partition("=") for written in self.flags]
        return [value for name, equals, value in pairs if name == f"--{flag}" and equals]

    def value(self, flag: str) -> str:
        """The value of a flag, "" without it."""
        return next(iter(self.values(flag)), "")

    def listed(self) -> list[str]:
        """The words of COPY or ADD: a JSON list, or separated by spaces."""
        return _json_list(self.args, self.line) or BLANKS.split(self.args)

    def pairs(self, escape: str) -> list[tuple[str, str | None]]:
        """The names and values of ARG or ENV, quoted as they are; None for an ARG without a value."""
        words = split_words(self.args, escape)
        if self.name == "ENV" and words and "=" not in words[0]:
            name, *rest = BLANKS.split(self.args, maxsplit=1)
            if not rest:
                raise LineFault(self.line, "ENV must have two arguments")
            return [(name, rest[0])]
        pairs: list[tuple[str, str | None]] = []
        for word in words:
            name, equals, value = word.partition("=")
            if not name or (self.name == "ENV" and not equals):
                raise LineFault(self.line, f"{self.name} {word}: expected NAME=VALUE")
            pairs.append((name, value if equals else None))
        return pairs

    def child(self, escape: str) -> Instruction:
        """The instruction that an ONBUILD defers."""
        return _instruction(self.args, self.line, escape)


def escape_of(text: str) -> str:
    """The escape character: a backslash, or what the directive `# escape=` says."""
    directives: dict[str, str] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.strip(SPACES)
        match = DIRECTIVE.fullmatch(line[1:].lstrip(SPACES)) if line.startswith("#") else None
        name = match[1].lower() if match else ""
        if match is None or name not in DIRECTIVES:
            break
        if name in directives:
            raise LineFault(number, f"more than one directive `{name}`")
        directives[name] = match[2]
        if name == "escape" and match[2] not in CONTINUED:
            raise LineFault(number, f"invalid escape character {match[2]!r}", "use \\ or `")
    return directives.get("escape", "\\")


def syntax_of(text: str) -> str:
    """The image of a `# syntax=` directive, "" without one. It may follow `#!`, and be a comment with `//` or in JSON."""
    text = text.removeprefix("\ufeff")
    if text.startswith("#!"):
        text = text.partition("\n")[2]
    for mark in ("#", "//"):
        for raw in text.split("\n"):
            line = raw.rstrip(SPACES)
            match = DIRECTIVE.fullmatch(line.removeprefix(mark).lstrip(SPACES)) if line.startswith(mark) else None
            if match is None or match[1].lower() not in DIRECTIVES:
                break
            if match[1].lower() == "syntax":
                return match[2].partition(" ")[0]
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    syntax = document.get("syntax") if isinstance(document, dict) else None
    return syntax if isinstance(syntax, str) else ""


def read(text: str, escape: str) -> Iterator[Instruction]:
    """The instructions of a file, in order. LineFault for what BuildKit does not accept."""
    lines = iter(enumerate(text.removeprefix("\ufeff").split("\n"), start=1))
    for number, raw in lines:
        _check_length(number, raw)
        line = raw.rstrip("\r").lstrip(SPACES)
        line, continued = _without_continuation("" if line.startswith("#") else line, escape)
        if not continued and not line:
            continue
        while continued:
            following, more = next(lines, (0, ""))
            if not following:
                break
            _check_length(following, more)
            stripped = more.strip(SPACES)
            if not stripped or stripped.startswith("#"):
                continue
            piece, continued = _without_continuation(more.rstrip("\r"), escape)
            line += piece
        instruction = _instruction(line, number, escape)
        _skip_heredocs(instruction, line, lines, escape)
        yield instruction


def _check_length(number: int, line: str) -> None:
    if len(line) > MAX_LINE // 4 and len(line.encode("utf-8", "surrogatepass")) > MAX_LINE:
        raise LineFault(number, f"a line of more than {MAX_LINE} bytes")


def _without_continuation(line: str, escape: str) -> tuple[str, bool]:
    match = CONTINUED[escape].search(line)
    return (line[: match.end(1)], True) if match else (line, False)


def _skip_heredocs(instruction: Instruction, line: str, lines: Iterator[tuple[int, str]], escape: str) -> None:
    """Skip the contents of the heredocs of an instruction; they are not read here."""
    inner = instruction.child(escape) if instruction.name == "ONBUILD" and instruction.args else instruction
    if inner.name not in WITH_HEREDOCS or "<<" not in line or _json_list(inner.args, inner.line):
        return
    for word in raw_words(line):
        match = HEREDOC.fullmatch(word)
        name = _heredoc_name(match["word"]) if match else ""
        if match is None or not name:
            continue
        ends = (raw.rstrip("\r").lstrip("\t" if match["chomp"] else "") == name for _, raw in lines)
        if not any(ends):
            raise LineFault(instruction.line, f"the heredoc {name} is not terminated")


def _heredoc_name(word: str) -> str:
    """The line that ends a heredoc; "" if it would be more than one word."""
    words = raw_words(word)
    return re.sub(r"\\(.)|[\"']", lambda match: match[1] or "", words[0]) if len(words) == 1 else ""


def _instruction(line: str, number: int, escape: str) -> Instruction:
    written, *rest = BLANKS.split(line.strip(SPACES), maxsplit=1)
    name = written.upper()
    if name not in NAMES:
        raise LineFault(number, f"unknown instruction {written}", suggestion(name, NAMES))
    flags, args = _flags(rest[0] if rest else "", escape)
    return Instruction(name=name, line=number, flags=tuple(flags), args=args.strip(SPACES))


def _flags(text: str, escape: str) -> tuple[list[str], str]:
    """The flags at the beginning of an instruction's text, without their quotes, and the rest."""
    flags: list[str] = []
    at = 0
    while True:
        while text[at : at + 1] and text[at] in SPACES:
            at += 1
        if not text.startswith("--", at):
            return flags, text[at:]
        word, at, quoted = _flag(text, at, escape)
        if word == "--":
            return flags, text[at:]
        if word or quoted:
            flags.append(word)


def _flag(text: str, at: int, escape: str) -> tuple[str, int, bool]:
    """One flag: its text without quotes and escapes, where it ends, and whether it has quotes."""
    word, quote, quoted = "", "", False
    while at < len(text):
        character = text[at]
        if not quote and character in SPACES:
            break
        at += 1
        if character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote, quoted = character, True
        elif character == escape:
            word, at = word + text[at : at + 1], at + 1
        else:
            word += character
    return word, min(at, len(text)), quoted


def split_words(text: str, escape: str) -> list[str]:
    """The words of ARG or ENV, split outside of quotes, with quotes and escapes kept."""
    words: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        character, at = text[at], at + 1
        if not quote and character in SPACES:
            words, word = [*words, word] if word else words, ""
            continue
        if character == escape and quote != "'":
            if at == len(text):  # nothing to escape
                break
            character, at = character + text[at], at + 1
        elif not quote and character in "'\"":
            quote = character
        elif character == quote:
            quote = ""
        word += character
    return [*words, word] if word else words


def _json_list(text: str, line: int) -> list[str]:
    """The strings of a JSON list; empty if it is not one. LineFault for a list with something else than strings."""
    if not text.startswith("["):
        return []
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not all(isinstance(value, str) for value in values):
        raise LineFault(line, "a JSON list must contain strings only")
    return list(values)
