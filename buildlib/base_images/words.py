"""Words of a Dockerfile with variables, expanded as BuildKit does. Pure.

Model: frontend/dockerfile/shell/lex.go of BuildKit, the same in 0.25 and in the versions of 2026. It resembles a shell, but differs
from one: `${X/a/b}` exists, a `:` before `#` or `%` is an error, and a backslash before a letter disappears.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from buildlib.base_images import patterns
from buildlib.base_images.patterns import SyntaxFault

SPECIAL = frozenset("@*#?-$!0")  # parameters of a shell, which have no value here
# unicode.IsSpace of Go; str.isspace of Python also has U+001C to U+001F.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
MAX_DEPTH = 50  # of ${A:-${B:-…}}; the text is not trusted, and Python's stack is finite


class Expanded(NamedTuple):
    """A word after the expansion. `used` are the variables with a value in it, `unset` those without one, in order."""

    text: str
    used: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()


def expand(word: str, values: Mapping[str, str], escape: str = "\\") -> Expanded:
    """The word with its variables replaced and without its quotes. SyntaxFault for one that BuildKit does not accept."""
    lexer = _Lexer(word, values, escape)
    return Expanded(lexer.until(""), tuple(dict.fromkeys(lexer.used)), tuple(dict.fromkeys(lexer.unset)))


def raw_words(line: str) -> list[str]:
    """The words of a line, split outside of quotes, with quotes and escapes kept; none if a quote is not closed.

    This is how BuildKit looks for heredocs, with a backslash as the escape character whatever the file says.
    """
    lexer = _Lexer(line, {}, "\\", raw=True)
    try:
        lexer.until("")
    except SyntaxFault:
        return []
    return lexer.words()


@dataclass
class _Lexer:
    text: str
    values: Mapping[str, str]
    escape: str
    raw: bool = False  # quotes, escapes and variables without a value are kept
    at: int = 0
    depth: int = 0
    used: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)
    _words: list[str] = field(default_factory=list)
    _word: str = ""

    @property
    def peek(self) -> str:
        """The next character, "" at the end."""
        return self.text[self.at : self.at + 1]

    def next(self) -> str:
        character = self.peek
        self.at += len(character)
        return character

    def words(self) -> list[str]:
        return [*self._words, self._word] if self._word else self._words

    def _add(self, piece: str, *, split: bool) -> None:
        """Add to the current word of the outermost level; a space in a piece that is split ends it."""
        if self.depth:
            return
        for character in piece:
            if split and character in SPACES:
                if self._word:
                    self._words.append(self._word)
                    self._word = ""
            else:
                self._word += character

    def until(self, stop: str, *, raw_escapes: bool = False) -> str:
        """The text up to the character `stop`, which is skipped; "" is the end of the word."""
        special: dict[str, Callable[[], str]] = {
            "$": self._dollar, "<": self._less, "'": self._single_quoted, '"': self._double_quoted,
        }  # fmt: skip
        result: list[str] = []
        while character := self.peek:
            if character == stop:
                self.next()
                return "".join(result)
            if function := special.get(character):
                piece = function()
                self._add(piece, split=character == "$")
            else:
                piece = self.next()
                escaped = piece == self.escape
                if escaped:
                    kept = piece if raw_escapes or self.raw else ""
                    piece = kept + self.next()
                self._add(piece, split=not escaped)
            result.append(piece)
        if stop:
            raise SyntaxFault(f"unexpected end while looking for {stop}")
        return "".join(result)

    def _single_quoted(self) -> str:
        quote, end = self.next(), self.text.find("'", self.at)
        if end < 0:
            raise SyntaxFault("a single quote that is not closed")
        content, self.at = self.text[self.at : end], end + 1
        return f"{quote}{content}{quote}" if self.raw else content

    def _double_quoted(self) -> str:
        result: list[str] = []
        quote = self.next()
        while character := self.peek:
            if character == '"':
                self.next()
                content = "".join(result)
                return f"{quote}{content}{quote}" if self.raw else content
            if character == "$":
                result.append(self._dollar())
                continue
            self.next()
            if character == self.escape:
                if self.raw:
                    result.append(character)
                if not self.peek:
                    continue
                if self.peek in ('"', "$", self.escape):
                    character = self.next()
            result.append(character)
        raise SyntaxFault("a double quote that is not closed")

    def _less(self) -> str:
        """A heredoc operator and the spaces after it, which belong to the word."""
        result = self.next()
        if self.peek != "<":
            return result
        result += self.next()
        while self.peek and self.peek in "\t\r ":
            result += self.next()
        return result

    def _name(self) -> str:
        start = self.at
        if self.peek.isdecimal():
            while self.peek.isdecimal():
                self.next()
        elif self.peek in SPECIAL and self.peek:
            self.next()
        else:
            while self.peek.isalpha() or self.peek.isdecimal() or self.peek == "_":
                self.next()
        return self.text[start : self.at]

    def _value(self, name: str) -> str | None:
        (self.used if name in self.values else self.unset).append(name)
        return self.values.get(name)

    def _dollar(self) -> str:
        start = self.at
        self.next()
        if self.peek != "{":
            name = self._name()
            value = self._value(name) if name else "$"
        else:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise SyntaxFault(f"more than {MAX_DEPTH} nested substitutions")
            value = self._braces()
            self.depth -= 1
        if value is None:
            return self.text[start : self.at] if self.raw else ""
        return value

    def _braces(self) -> str | None:
        """What follows `$`: a substitution in braces. None for a variable without a value in `raw`."""
        self.next()
        if self.peek == "":
            raise SyntaxFault("a substitution without }")
        if self.peek in "{}:":
            raise SyntaxFault("bad substitution")
        name = self._name()
        modifier = self.next()
        if modifier == "}":
            return self._value(name)
        if modifier == "/":
            return self._replaced(name)
        null_is_unset = modifier == ":"
        if null_is_unset:
            modifier = self.next()
        if modifier not in ("+", "-", "?", "#", "%") or (null_is_unset and modifier in "#%"):
            raise SyntaxFault(f"unsupported modifier ({':' * null_is_unset}{modifier}) in a substitution")
        word = self.until("}", raw_escapes=modifier in "#%")
        if self.raw and name not in self.values:
            return None
        value = self.values.get(name)
        is_null = value is None or (null_is_unset and not value)
        if modifier in "+-":  # neither misses a value
            self.used += [name] if name in self.values else []
            return (word if is_null else value) if modifier == "-" else ("" if is_null else word)
        value = self._value(name)
        if modifier == "?":
            if is_null:
                raise SyntaxFault(f"{name}: {word or 'has no value'}")
            return value
        return patterns.trimmed(value or "", word, modifier)

    def _replaced(self, name: str) -> str | None:
        replace_all = self.peek == "/"
        if replace_all:
            self.next()
        pattern = self.until("/", raw_escapes=True)
        replacement = self.until("}", raw_escapes=True)
        value = self._value(name)
        if value is None and self.raw:
            return None
        return patterns.replace(value or "", pattern, replacement, everywhere=replace_all)
