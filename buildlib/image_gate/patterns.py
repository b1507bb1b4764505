"""Patterns of paths whose files may be for any platform: the setting `foreign`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

MEMBER = "!/"  # between an archive and the path of a file in it


class Patterns:
    """Glob patterns of paths in an image.

    `*` and `?` match anything but a slash, `[abc]` one of these letters, and `**` directories of any depth, also none. A pattern
    without a slash at its start matches at any depth. It is compared with the path of a file, and for a file in an archive with
    the path of the archive and with `archive!/path`, of which each may be matched.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        parts = [_expression(pattern) for pattern in patterns]
        self._match = re.compile("|".join(f"(?:{part})" for part in parts), re.DOTALL).fullmatch if parts else None

    def match(self, path: str) -> bool:
        """Whether a path, or an archive that it is in, is one of them."""
        if self._match is None:
            return False
        names = path.split(MEMBER)
        return any(self._match(MEMBER.join(names[:count])) for count in range(1, len(names) + 1))


def _expression(pattern: str) -> str:
    """The regular expression of one pattern."""
    pattern = re.sub(r"(?:/\*\*)+(?=/|$)", "/**", pattern if pattern.startswith("/") else f"/**/{pattern}")
    words = []
    for word in re.split(r"(/\*\*(?=/|$))", pattern):  # "/**" as a whole component
        words.append("(?:/.*)?" if word == "/**" else _component(word))
    return "".join(words)


def _component(text: str) -> str:
    """The expression of a text without `/**`. fnmatch's `.` is every character: here it is every one but a slash."""
    out = []
    for part in re.split(r"(\*+|\?|\[!?\]?[^\]/]*\])", text):
        if part and set(part) == {"*"}:
            out.append("[^/]*")
        elif part == "?":
            out.append("[^/]")
        elif part.startswith("[") and part.endswith("]") and len(part) > 2:
            out.append(f"(?!/){_body(fnmatch.translate(part))}")
        else:
            out.append(re.escape(part))
    return "".join(out)


def _body(expression: str) -> str:
    """What fnmatch put between its markers."""
    return expression.removeprefix("(?s:").removesuffix("\\Z").removesuffix("\\z").removesuffix(")")
