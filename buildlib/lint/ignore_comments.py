"""Comments that turn findings off: `# buildlib ignore=RULE`, and those of hadolint and BuildKit for their equivalent rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from buildlib.lint.parsing.source import Source

COMMENT = re.compile(
    r"#\s*(?P<tool>buildlib|hadolint)\s+(?P<all>global\s+)?ignore\s*=\s*(?P<rules>[\w-]+(?:\s*,\s*[\w-]+)*)",
    re.IGNORECASE,
)
# Directives of BuildKit are comments before everything else: # check=skip=RULE,RULE;error=true
DIRECTIVE = re.compile(r"#\s*(?P<name>[A-Za-z]\w*)\s*=\s*(?P<value>.*?)\s*$")
SKIPPED = re.compile(r"(?:^|;)\s*skip\s*=\s*(?P<rules>[^;]*)", re.IGNORECASE)
# The rules of hadolint and BuildKit that report the same as one here, in lower case. UndefinedArgInFrom and UndefinedVar are not among
# them: they report a part of what arg-lost-after-from does.
EQUIVALENT = {
    "dl3029": "hardcoded-platform", "fromplatformflagconstdisallowed": "hardcoded-platform",
    "dl3065": "redundant-target-platform", "redundanttargetplatform": "redundant-target-platform",
    "invalidbaseimageplatform": "arch-specific-base",
}  # fmt: skip
WHOLE_FILE = 0


def ignored_rules(source: Source) -> dict[int, set[str]]:
    """The ignored rules by line number, and those of WHOLE_FILE.

    A comment ignores them on its own line and, on a line of its own, in the whole instruction that follows.
    """
    ignored: dict[int, set[str]] = {}
    lines = source.text.decode("utf-8", "replace").split("\n")
    raw_lines = source.raw.decode("utf-8", "replace").splitlines()
    for number, line in enumerate(raw_lines, 1):
        match = COMMENT.search(line)
        if not match:
            continue
        rules = {rule.strip() for rule in match["rules"].split(",")}
        if match["tool"].lower() == "hadolint":
            rules = _equivalents(rules)
        for covered in [WHOLE_FILE] if match["all"] else _covered_lines(lines, number):
            ignored.setdefault(covered, set()).update(rules)
    if skipped := _skipped_checks(raw_lines):
        ignored.setdefault(WHOLE_FILE, set()).update(skipped)
    return ignored


def _equivalents(names: set[str]) -> set[str]:
    return {EQUIVALENT[name.lower()] for name in names if name.lower() in EQUIVALENT}


def _skipped_checks(lines: Sequence[str]) -> set[str]:
    """The rules whose equivalents the directive `check` skips."""
    for line in lines:
        directive = DIRECTIVE.match(line.lstrip("\ufeff").lstrip())
        if not directive:
            break
        if directive["name"].lower() == "check" and (skipped := SKIPPED.search(directive["value"])):
            names = {name.strip() for name in skipped["rules"].split(",")}
            return set(EQUIVALENT.values()) if "all" in names else _equivalents(names)
    return set()


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
