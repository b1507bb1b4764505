"""What in a script asks for the architecture, and for which."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.parsing.words import meant

# What tells an architecture: the builder's variables and their like, and commands.
ASKS = re.compile(
    r"\$\{?[#!]?\w*(?:ARCH|PLATFORM|MACHINE|TARGETVARIANT|TRIPLE|CPU)\w*|\$\{?\w*(?:arch|Arch|platform|machine|cpu)\w*"
    r"|\buname\s+-\w*[mpia]|--print-architecture|--print-arch\b|%\{?_arch|(?:^|[$(`\s])arch\s*[)`|]|LONG_BIT"
    r"|dpkg-architecture|print-multiarch|-dumpmachine|go\s+env\s+GO(?:HOST)?ARCH|GOARCH",
)
# What is compared with a variable, on either side of it.
EQUALS = re.compile(
    r"(?<![!<>=])==?\s*(?P<word>[\"']?[\w./*-]+[\"']?)|(?P<first>[\"']?[\w./-]+[\"']?)\s*(?<![!<>=])==?\s*[\"']?\$"
)
UNEQUAL = re.compile(r"!=\s*(?P<word>[\"']?[\w./*-]+[\"']?)|(?P<first>[\"']?[\w./-]+[\"']?)\s*!=\s*[\"']?\$")
LOOKS = re.compile(r"^\s*!?\s*(?:\[|test\b|.*\|\s*e?grep\b|e?grep\b)", re.DOTALL)


def is_question(test: str) -> bool:
    """Whether a test asks for the architecture."""
    if not LOOKS.match(test):
        return False
    return bool(ASKS.search(test) or equal(test)) or any(map(meant, _compared(UNEQUAL, test)))


def equal(test: str) -> frozenset[str]:
    """The architectures for which a test holds; none where that is not plain."""
    # "x$ARCH" = "xarm64": the x is for shells to which an empty word is none.
    told = [meant(word) or meant(word.strip("\"'")[1:]) for word in _compared(EQUALS, test)]
    if not told or "!=" in test or re.match(r"^\s*!", test):
        return frozenset()
    return frozenset().union(*told)


def _compared(how: re.Pattern[str], test: str) -> Iterator[str]:
    return (found["word"] or found["first"] for found in how.finditer(test))
