"""Words of a command that lead to another command or contain a script: `sudo`, `sh -c`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from buildlib.lint.parsing.containerfile import Piece
from buildlib.lint.parsing.source import Span

# Words before the command that they run.
PREFIXES = frozenset({"sudo", "time", "exec", "command", "nohup", "nice", "env", "doas", "gosu", "then", "builtin"})
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "su", "runuser"})


def script_argument(words: Sequence[Piece]) -> Piece | None:
    """The script that a command passes to a shell: the word after -c."""
    if words and words[0].bare.rpartition("/")[2] in SHELLS:
        return next((word for flag, word in pairwise(words) if re.fullmatch(r"-[a-z]*c", flag.bare)), None)
    return None


def unquoted(word: Piece) -> Piece:
    """The word without the quotes around it; its place shrinks with it."""
    quote_length = int(word.text[:1] in ("'", '"'))
    text = word.text[quote_length : len(word.text) - quote_length]
    return Piece(text, Span(word.span.start + quote_length, word.span.end - quote_length))
