"""missing-arch-case (BL007): a `case` or `if` on the architecture that silently ignores those it does not name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from buildlib.lint.analysis import Analysis, constant_text, variables
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.known_commands import FETCH
from buildlib.lint.parsing.arch_words import find_arch_words
from buildlib.lint.parsing.containerfile import Piece
from buildlib.lint.parsing.script import Branch, Choice, ParsedScript

# Commands that print the architecture of the machine.
PRINTS_MACHINE = {("uname", "-m"), ("arch",), ("dpkg", "--print-architecture")}
# What `echo` may print instead: a variable, or the output of uname.
PRINTED_MACHINE = re.compile(r"\"?(?:\$\{?(?P<name>\w+)\}?|\$\(uname -m\))\"?")
# Commands that download, without http and https: in a text these are usually schemes of URLs.
DOWNLOADS = re.compile(rf"\b(?:{'|'.join(sorted(FETCH - {'http', 'https'}))})\b")


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the choices by architecture that are not nested in another.

    Choices after an `if` that rejects all other architectures are skipped: they run only on those that it names.
    """
    for _, _, script in analysis.runs():
        rejected_at = min(
            (choice.span.end for choice in script.choices if _rejects_others(choice)), default=sys.maxsize
        )
        for choice in script.choices:
            if choice.span.start < rejected_at and not choice.guards and _ignores_others(choice, script):
                yield make_finding(analysis.source, "missing-arch-case", choice.span, _message(choice))


def _ignores_others(choice: Choice, script: ParsedScript) -> bool:
    """Whether an architecture that the choice does not name gets no files or wrong ones, without an error."""
    if choice.default is None:
        covers_others = _translates(choice, script)
    else:
        covers_others = choice.default.fails or _passes_on(choice, choice.default)
    # `if [ … != amd64 ]; then exit 1; fi` is a check, not a choice.
    is_check = choice.keyword == "if" and any(branch.fails for branch in choice.branches)
    names_arches = any(branch.arches for branch in choice.branches)
    if covers_others or is_check or not names_arches or _is_checked_later(choice, script):
        return False
    branches = (*choice.branches, *((choice.default,) if choice.default else ()))
    return len(choice.branches) > 1 or any(map(_matters, branches))


def _rejects_others(choice: Choice) -> bool:
    """Whether what follows runs on the named architectures only.

    After `if [ $ARCH != amd64 ] && [ $ARCH != arm64 ]; then exit 1; fi` that is amd64 and arm64.
    """
    return choice.keyword == "if" and "!=" in choice.subject and any(branch.fails for branch in choice.branches)


def _translates(choice: Choice, script: ParsedScript) -> bool:
    """Whether the branches only give the subject another spelling, so that other architectures keep their own names.

    An example is `[ "$ARCH" = x86_64 ] && ARCH=amd64`. Branches may also set a variable that was set to the subject
    before: `FILE=$ARCH; case "$ARCH" in x86_64) FILE=amd64;; esac`.
    """
    subjects = set(variables(Piece(choice.subject, choice.span)))
    sets = [branch.sets for branch in choice.branches]
    copies = {copy for name in subjects for copy in script.copies.get(name, ())}
    return bool(subjects) and (
        all(names and names <= subjects for names in sets) or any(names & copies for names in sets)
    )


def _passes_on(choice: Choice, default: Branch) -> bool:
    """Whether the default keeps an unknown architecture's own name, as in `*) ARCH="$TARGETARCH"`.

    If there is no download for that architecture, the download fails, so that nothing is ignored.
    """
    subjects = set(variables(Piece(choice.subject, choice.span)))
    if subjects & set(re.findall(r"=\W*\$\{?(\w+)", default.text)) or re.search(r"=\W*\$\(uname -m\)", default.text):
        return True
    echoes = [words for words in default.commands if words[:1] in (("echo",), ("printf",))]
    printed = [PRINTED_MACHINE.fullmatch(words[-1]) for words in echoes]
    return any(words in PRINTS_MACHINE for words in default.commands) or any(
        match and (match["name"] is None or match["name"] in subjects) for match in printed
    )


def _matters(branch: Branch) -> bool:
    """Whether a branch has the name of an architecture in it, or downloads something."""
    return any(find_arch_words(constant_text(branch.text))) or bool(DOWNLOADS.search(branch.text))


def _is_checked_later(choice: Choice, script: ParsedScript) -> bool:
    """Whether the script tests a variable that the branches set, or requires it with ${NAME:?}."""
    names = set().union(*(branch.sets for branch in choice.branches))
    # A test of a longer name counts too: $ARCH_SUFFIX for ARCH.
    return any(name in script.required or any(tested.startswith(name) for tested in script.tested) for name in names)


def _message(choice: Choice) -> str:
    arches = ", ".join(sorted(set().union(*(branch.arches for branch in choice.branches))))
    if choice.default is None:
        return f"handles {arches} only; other architectures are ignored without an error"
    default = "*)" if choice.keyword == "case" else "else"
    return f"`{default}` handles all architectures except {arches} and does not fail"
