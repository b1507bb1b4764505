"""Wildcard patterns in substitutions: `${X#pattern}`, `${X%pattern}`, `${X/pattern/text}`. Pure.

BuildKit makes a regular expression of them, for an engine without backtracking. Python's would take exponential time for a pattern
with many stars, so they are matched here. The shortest or longest match is the one that BuildKit finds: a pattern has no
alternatives, so the earliest place for each part gives the shortest match, and the latest the longest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ANY, STAR = "any", "star"  # a character, and any number of them; every other token is one character itself
DOLLAR = re.compile(r"\$(?:\{(?P<braced>\w+)\}|(?P<name>\w+)|(?P<dollar>\$))")


class SyntaxFault(Exception):
    """A text that BuildKit does not accept; the message is for users."""


def trimmed(value: str, word: str, modifier: str) -> str:
    """`${X#word}` and `${X%word}`; a `word` that begins with the modifier asks for the longest match. SyntaxFault as `_tokens`."""
    longest = word.startswith(modifier)
    tokens = _tokens(word[1:] if longest else word)
    if modifier == "#":
        end = _end(tokens, value, 0, longest=longest)
        return value if end is None else value[end:]
    end = _end(tokens[::-1], value[::-1], 0, longest=longest)
    return value if end is None else value[: len(value) - end]


def replace(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    """`${X/pattern/replacement}`, and `everywhere` with two slashes. SyntaxFault as `_tokens`."""
    tokens = _tokens(pattern)
    result, done, start, last = [], 0, 0, -1
    while start <= len(value):
        end = _end(tokens, value, start, longest=True)
        # An empty match right after another one does not count (Go's regexp.ReplaceAllString).
        if end is None or (end == start == last):
            start += 1
            continue
        text = _template(replacement, value[start:end]) if everywhere else replacement
        result += [value[done:start], text]
        done = last = end
        start = end if end > start else end + 1
        if not everywhere:
            break
    return "".join([*result, value[done:]])


def _template(replacement: str, match: str) -> str:
    """The replacement as Go's ReplaceAllString reads it: $0 is the match, all other groups are empty."""
    return DOLLAR.sub(
        lambda found: found["dollar"] or (match if (found["braced"] or found["name"]) == "0" else ""), replacement
    )


def _tokens(pattern: str) -> list[str]:
    """The tokens of a pattern. SyntaxFault for an escape that BuildKit does not know."""
    tokens: list[str] = []
    at = 0
    while at < len(pattern):
        character, at = pattern[at], at + 1
        if character == "\\":
            following = pattern[at : at + 1]
            if following in ("}", "/"):  # escaped for the substitution; the escape is not part of the pattern
                continue
            if following not in ("*", "?", "\\"):
                raise SyntaxFault(f"invalid escape \\{following} in a substitution")
            tokens.append(following)
            at += 1
        else:
            tokens.append({"*": STAR, "?": ANY}.get(character, character))
    return tokens


def _end(tokens: Sequence[str], text: str, start: int, *, longest: bool) -> int | None:
    """Where the match that begins at `start` ends; None without one. Takes len(text) × len(tokens) steps."""
    states, found = _skip_stars(tokens, {0}), None
    for at in range(start, len(text) + 1):
        if len(tokens) in states:
            found = at
            if not longest:
                break
        if at == len(text) or not states:
            break
        following = set()
        for state in states:
            if state == len(tokens):
                continue
            token, character = tokens[state], text[at]
            if token == STAR and character != "\n":
                following.add(state)
            elif token == character or (token == ANY and character != "\n"):
                following.add(state + 1)
        states = _skip_stars(tokens, following)
    return found


def _skip_stars(tokens: Sequence[str], states: set[int]) -> set[int]:
    """The states, and those after stars that match nothing."""
    result = set()
    for first in states:
        state = first
        result.add(state)
        while state < len(tokens) and tokens[state] == STAR:
            state += 1
            result.add(state)
    return result
