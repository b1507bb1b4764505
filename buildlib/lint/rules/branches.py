"""Choices by architecture: branches that give one architecture what is another's, and chains that end without a word."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from buildlib.lint.analysis import Look, literal, names
from buildlib.lint.finding import Finding, found
from buildlib.lint.parsing.containerfile import Piece
from buildlib.lint.parsing.script import Assignment, Branch, Chain, Shell
from buildlib.lint.parsing.source import Span
from buildlib.lint.parsing.words import find, fits, meant
from buildlib.lint.rules.downloads import FETCH, mismatch

# s/amd64/x86_64/ in sed's words, and ${ARCH/amd64/x86_64}.
SUBSTITUTED = re.compile(
    r"\bs(?P<mark>[/|,#:@])\^?(?P<from>[\w./-]+?)\$?(?P=mark)(?P<to>[\w./-]+?)(?P=mark)|\$\{\w+//?(?P<old>[\w.-]+)/(?P<new>[\w.-]+)\}"
)
# What an assignment of this name says is no file's architecture: a flag, a version, a compiler for another target.
OTHER = re.compile(
    r"^(?:CC|CXX|AR|LD|STRIP|RANLIB|CROSS_COMPILE|QEMU\w*|BUILD_?\w*|HOST\w*|PATH|LDFLAGS|CFLAGS|\w*SHA\w*|\w*SUM\w*|\w*CHECK\w*)$"
)
# What prints the machine's own name.
PRINTS = {("uname", "-m"), ("arch",), ("dpkg", "--print-architecture")}
PRINTED = re.compile(r"\"?(?:\$\{?(?P<name>\w+)\}?|\$\(uname -m\))\"?")
# Not what is installed besides, and no URL's scheme.
DOWNLOADS = re.compile(rf"\b(?:{'|'.join(sorted(FETCH - {'http', 'https'}))})\b")


def check(look: Look) -> Iterator[Finding]:
    """wrong-arch-mapping, of what variables are set to, and missing-arch-case."""
    for stage, _, script in look.runs():
        chosen = look.guard(stage)
        for one in script.assignments:
            for value in one.values:
                yield from _assigned(look, one, value, chosen)
        yield from _substituted(look, script)
        left = min((chain.span.end for chain in script.chains if _turns_away(chain)), default=sys.maxsize)
        for chain in script.chains:
            if chain.span.start < left and _is_open(chain, script) and not chain.guards:
                yield found(look.source, "missing-arch-case", chain.span, _said(chain))


def _assigned(look: Look, one: Assignment, value: Piece, chosen) -> Iterator[Finding]:
    if OTHER.match(one.name):
        return
    text = literal(value.text)
    told = list(find(f"linux/{text}" if text.strip("\"'") in ("arm", "386", "x86") else text))
    if not told or any(find(one.name)):
        return
    if wrong := mismatch((*chosen, *one.guards), {other.arch for other in told}):
        yield found(look.source, "wrong-arch-mapping", value.span, f"{one.name} is {value.bare} for {wrong}")


def _substituted(look: Look, script: Shell) -> Iterator[Finding]:
    # What changes files in place translates no name.
    translates = [command for command in script.commands if not any(word.bare[:2] == "-i" for word in command.words)]
    pieces = [piece for command in translates for piece in command.words]
    pieces += [
        value for one in script.assignments for value in one.values if "${" in value.text and "$(" not in value.text
    ]
    seen: set[Span] = set()
    for piece in pieces:
        for match in SUBSTITUTED.finditer(piece.text):
            old, new = match["from"] or match["old"], match["to"] or match["new"]
            machines, told = meant(old), {one.arch for one in find(new)}
            start = piece.span.start + len(piece.text[: match.start()].encode())
            span = Span(start, start + len(match[0].encode()))
            if not machines or not told or span in seen:
                continue
            seen.add(span)
            if not any(fits(machine, arch) for machine in machines for arch in told):
                yield found(look.source, "wrong-arch-mapping", span, f"{old} becomes {new}")


def _is_open(chain: Chain, script: Shell) -> bool:
    """Whether a machine that nobody thought of goes through in silence, and misses something."""
    if _translates(chain, script) if chain.rest is None else chain.rest.fails or _hands_on(chain, chain.rest):
        return False
    if any(branch.fails for branch in chain.branches) and chain.word == "if":
        return False  # `if [ … != amd64 ]; then exit 1; fi` is a guard, no choice
    if not any(branch.arches for branch in chain.branches):
        return False
    if _is_checked(chain, script):
        return False
    if len(chain.branches) > 1:
        return True
    return any(_matters(branch) for branch in (*chain.branches, *((chain.rest,) if chain.rest else ())))


def _turns_away(chain: Chain) -> bool:
    """`if [ $ARCH != amd64 ] && [ $ARCH != arm64 ]; then exit 1; fi`: whoever comes behind it is one of those."""
    return chain.word == "if" and "!=" in chain.subject and any(branch.fails for branch in chain.branches)


def _translates(chain: Chain, script: Shell) -> bool:
    """`[ "$ARCH" = x86_64 ] && ARCH=amd64`: other spellings of what is asked for, and what has none stays as it is. So it does where
    the branches set what was set to the machine's own name before: `FILE=$ARCH; case "$ARCH" in x86_64) FILE=amd64;; esac`."""
    subjects = set(names(Piece(chain.subject, chain.span)))
    told = [branch.sets for branch in chain.branches]
    handed = {
        one.name for one in script.assignments if not one.guards and any(subjects & set(names(v)) for v in one.values)
    }
    return bool(subjects) and (all(sets and sets <= subjects for sets in told) or any(sets & handed for sets in told))


def _hands_on(chain: Chain, rest: Branch) -> bool:
    """`*) ARCH="$TARGETARCH"`: a machine that nobody thought of gets its own name, and what is not there is not found."""
    subjects = set(names(Piece(chain.subject, chain.span)))
    if subjects & set(re.findall(r"=\W*\$\{?(\w+)", rest.text)) or re.search(r"=\W*\$\(uname -m\)", rest.text):
        return True
    said = [PRINTED.fullmatch(words[-1]) for words in rest.commands if words[:1] in (("echo",), ("printf",))]
    return any(words in PRINTS for words in rest.commands) or any(
        one and (one["name"] is None or one["name"] in subjects) for one in said
    )


def _matters(branch: Branch) -> bool:
    """Whether a branch names an architecture's files, or downloads something."""
    return any(find(literal(branch.text))) or bool(DOWNLOADS.search(branch.text))


def _is_checked(chain: Chain, script: Shell) -> bool:
    """Whether what the branches set is asked for afterwards."""
    sets = set().union(*(branch.sets for branch in chain.branches))
    return any(re.search(rf"\$\{{{name}:?\?|(?:-z|-n|test)\s+\"?\$\{{?{name}\}}?", script.text) for name in sets)


def _said(chain: Chain) -> str:
    covered = sorted(set().union(*(branch.arches for branch in chain.branches)))
    if chain.rest is None:
        return f"for {', '.join(covered)} only; for any other architecture nothing happens, and nothing fails"
    last = "*)" if chain.word == "case" else "else"
    return f"`{last}` takes every architecture but {', '.join(covered)}, and does not fail"
