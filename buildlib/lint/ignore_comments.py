"""Comments that turn findings off: `# buildlib ignore=RULE` and `# buildlib global ignore=RULE`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from buildlib.lint.parsing.source import Source

COMMENT = re.compile(
    r"#\s*buildlib\s+(?P<all>global\s+)?ignore\s*=\s*(?P<rules>[\w-]+(?:\s*,\s*[\w-]+)*)", re.IGNORECASE
)
WHOLE_FILE = 0


def ignored_rules(source: Source) -> dict[int, set[str]]:
    """The ignored rules by line number, and those of WHOLE_FILE.

    A comment ignores them on its own line and, on a line of its own, in the whole instruction that follows.
    """
    ignored: dict[int, set[str]] = {}
    lines = source.text.decode("utf-8", "replace").split("\n")
    for number, line in enumerate(source.raw.decode("utf-8", "replace").splitlines(), 1):
        match = COMMENT.search(line)
        if not match:
            continue
        rules = {rule.strip() for rule in match["rules"].split(",")}
        for covered in [WHOLE_FILE] if match["all"] else _covered_lines(lines, number):
            ignored.setdefault(covered, set()).update(rules)
    return ignored


def _covered_lines(lines: Sequence[str], number: int) -> Iterator[int]:
    """The line of a comment and, if it is a line of its own, all lines of the next instruction."""
    yield number
    if not lines[number - 1].lstrip().startswith("#"):
        return
    index = number
    while index < len(lines) and (not lines[index].strip() or lines[index].lstrip().startswith("#")):
        index += 1
    while index < len(lines):
        yield index + 1
        text = lines[index].rstrip()
        index += 1
        if not text.endswith("\\") and not text.lstrip().startswith("#"):
            break
