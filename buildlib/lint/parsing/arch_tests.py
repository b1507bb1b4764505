"""Which tests of a script ask for the architecture, and for which one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.parsing.arch_words import arches_of_pattern, find_arch_words

# What yields an architecture: BuildKit's variables and similar names, and commands.
READS_ARCH = re.compile(
    r"\$\{?[#!]?\w*(?:ARCH|PLATFORM|MACHINE|TARGETVARIANT|TRIPLE|CPU)\w*|\$\{?\w*(?:arch|Arch|platform|machine|cpu)\w*"
    r"|\buname\s+-\w*[mpia]|--print-architecture|--print-arch\b|%\{?_arch|(?:^|[$(`\s])arch\s*[)`|]|LONG_BIT"
    r"|dpkg-architecture|print-multiarch|-dumpmachine|go\s+env\s+GO(?:HOST)?ARCH|GOARCH",
)
# The operand that is compared with a variable, on either side of it.
EQUALS = re.compile(
    r"(?<![!<>=])==?\s*(?P<word>[\"']?[\w./*-]+[\"']?)|(?P<first>[\"']?[\w./-]+[\"']?)\s*(?<![!<>=])==?\s*[\"']?\$"
)
UNEQUAL = re.compile(r"!=\s*(?P<word>[\"']?[\w./*-]+[\"']?)|(?P<first>[\"']?[\w./-]+[\"']?)\s*!=\s*[\"']?\$")
# `case` patterns for systems other than Linux: images are for Linux only, so these branches never run.
OTHER_SYSTEM = re.compile(
    r"[\"'*]*(?:darwin|mac_?os|osx|windows|mingw|msys|cygwin|freebsd|openbsd|netbsd|sunos)", re.IGNORECASE
)
AND, OR = re.compile(r"&&|\s-a\s"), re.compile(r"\|\||\s-o\s")
TEST = re.compile(r"^\s*!?\s*(?:\[|test\b|.*\|\s*e?grep\b|e?grep\b)", re.DOTALL)
# Tests that lint cannot read: a program for an interpreter, which exits; a command or function of this name.
PROGRAM = re.compile(
    r"^\s*!?\s*(?:\S*/)?(?:node(?:js)?|deno|bun|python[\d.]*|pypy3?|perl|ruby|php\d*|lua[\d.]*|Rscript|julia|[gmn]?awk)\s[^|]*?[\"'](?P<text>.+)",
    re.DOTALL,
)
# What the exit code of a program depends on: it ends itself, or grep reads what it prints.
DECIDES = re.compile(r"\b(?:exit\w*|quit|assert\w*|raise|throw|die|abort|croak|e?grep)\b")
EDITS_FILE = re.compile(r"^\S+\s(?:-\w+\s+)*-[pnl]*i")  # perl -pi -e
PROGRAM_ARCH = re.compile(
    r"process\.(?:arch|config)|os\.(?:arch|machine|uname)|platform\.\w+|Deno\.build|archname|host_cpu|php_uname|RbConfig|sysconfig|ENVIRON|calcsize"
)
NAMED_TEST = re.compile(r"^\s*!?\s*(?:(?:is|on|has|supports)[_-]|is(?=[A-Z]))(?P<rest>[\w-]*(?:\s+[\w/\"'.-]+)*)\s*$")
# What is known about the machine: its processor, its loader.
MACHINE_TEXT = re.compile(
    r"\blscpu\b|/proc/cpuinfo|\b(?:file|ldd|getconf|readelf|rustc|gcc|cc|clang|ldconfig)\s|/ld-(?:linux|musl)"
)


def is_unreadable_test(test: str) -> bool:
    """Whether a command names an architecture and decides something by it, in a way that lint cannot read."""
    if program := PROGRAM.match(test):
        names_arch = PROGRAM_ARCH.search(test) or READS_ARCH.search(test) or any(find_arch_words(test))
        return bool(names_arch and DECIDES.search(program["text"]) and not EDITS_FILE.match(test.lstrip()))
    if named := NAMED_TEST.match(test):
        return bool(re.search("arch", named["rest"], re.IGNORECASE) or any(find_arch_words(named["rest"])))
    return bool(TEST.match(test) and MACHINE_TEXT.search(test) and any(find_arch_words(test)))


def is_arch_test(test: str) -> bool:
    """Whether a command tests the architecture."""
    if is_unreadable_test(test):
        return True
    if not TEST.match(test):
        return False
    return bool(READS_ARCH.search(test) or tested_arches(test)) or any(map(arches_of_pattern, _operands(UNEQUAL, test)))


def tested_arches(test: str) -> frozenset[str]:
    """The architectures for which a test is true; empty where that cannot be read from it.

    Of conditions that are joined by "and", those that name no architecture only restrict the others:
    `[ "$BUILDARCH" != "$TARGETARCH" ] && [ "$TARGETARCH" = arm64 ]` is true on arm64 only.
    """
    arches: frozenset[str] = frozenset()
    if PROGRAM.match(test):
        return arches
    for alternative in OR.split(test):
        known = [found for condition in AND.split(alternative) if (found := _condition_arches(condition))]
        if not known:
            return frozenset()
        arches |= frozenset.intersection(*known)
    return arches


def excluded_arches(test: str) -> frozenset[str]:
    """The architectures for which a single `!=` is false; empty for any other test."""
    if PROGRAM.match(test) or AND.search(test) or OR.search(test) or test.lstrip().startswith("!"):
        return frozenset()
    return frozenset().union(*map(arches_of_pattern, _operands(UNEQUAL, test)))


def _condition_arches(condition: str) -> frozenset[str]:
    if "!=" in condition or re.match(r"^\W*!", condition):
        return frozenset()
    # "x$ARCH" = "xarm64": the x protects old shells from an empty operand.
    words = (
        arches_of_pattern(word) or arches_of_pattern(word.strip("\"'")[1:]) for word in _operands(EQUALS, condition)
    )
    return frozenset().union(*words)


def _operands(comparison: re.Pattern[str], test: str) -> Iterator[str]:
    return (match["word"] or match["first"] for match in comparison.finditer(test))
