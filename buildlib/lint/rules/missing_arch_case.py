"""missing-arch-case (BL007): a `case` or `if` on the architecture that silently ignores those it does not name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence, Set

from buildlib.lint.analysis import PLATFORM_ARGS, Analysis, constant_text, variables
from buildlib.lint.branches import (
    ASKS_MACHINE,
    PRINTS,
    does_nothing,
    is_general,
    is_unrelated,
    matters,
    names_arch,
    only_notes,
    only_prints,
    only_skips,
    only_tests,
)
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.known_commands import FETCH, INSTALL
from buildlib.lint.parsing.arch_tests import AND
from buildlib.lint.parsing.arch_words import can_run, find_arch_words
from buildlib.lint.parsing.containerfile import Piece
from buildlib.lint.parsing.script import VARIABLE, Branch, Choice, Guard, ParsedScript, guard_of
from buildlib.lint.rejections import all_rejections, compared_variables, question_of, rejects_others

# NAME=value.
SETTING = re.compile(
    r"(?<![\w-])(?P<name>[A-Za-z_]\w*)=(?P<value>(?:\"[^\"]*\"|'[^']*'|\$\([^()]*\)|`[^`]*`|[^\s;&\"'`])*)"
)
LATER_DEFAULT = re.compile(r"\$\{(?P<name>\w+):?[-=](?P<value>\$(?:\w+|\{\w+\}))\}")
# Go gets the architecture, so that a compiler for another one fails: GOARCH=$TARGETARCH.
PASSES_ON = re.compile(r"\bGOARCH=[\"']?\$")
# A test of the variable NAME that compares it with a number or a truth value.
IS_FLAG = r"\[\[?\s+[\"']?\$\{?NAME\}?[\"']?\s+(?:-(?:eq|ne|gt|ge|lt|le)|!=|==?)\s+[\"']?(?:\d+|true|false|yes|no)?[\"']?\s+\]"
# Commands that print the architecture of the machine.
PRINTS_MACHINE = {("uname", "-m"), ("arch",), ("dpkg", "--print-architecture")}
WRITTEN_FILE = re.compile(r">\s*(\"[^\"]*\"|[^\s;&|]+)")


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the choices by architecture that are not nested in another.

    Choices after an `if` that rejects all other architectures are skipped: they run only on those that it names.
    """
    rejections = all_rejections(analysis)
    for stage, _, script in analysis.runs():
        rejected_at = min((choice.span.end for choice in script.choices if rejects_others(choice)), default=sys.maxsize)
        passed = [script.text, *(f"GOARCH={value.piece.text}" for value in analysis.values(stage, None, "GOARCH"))]
        is_passed_on = any(map(PASSES_ON.search, passed))
        rejecting = {one for ancestor in analysis.file.ancestry(stage) for one in rejections.get(ancestor.number, ())}
        silent = [
            choice
            for choice in script.choices
            if choice.span.start <= rejected_at and not choice.guards and _ignores_others(choice, script, is_passed_on)
        ]
        for first, arches in _chains(silent, script):
            question = question_of(analysis, stage, first, script)
            if not any(one.covers(first, question, script) for one in rejecting):
                yield make_finding(analysis.source, "missing-arch-case", first.span, _message(first, arches))


def _chains(choices: Sequence[Choice], script: ParsedScript) -> Iterator[tuple[Choice, frozenset[str]]]:
    """The choices with the architectures that they name; tests that set the same variables, one after another, are one choice.

    They are several if something between them reads one of the variables.
    """
    chains: list[tuple[Choice, frozenset[str]]] = []
    last: dict[
        object, tuple[int, Choice]
    ] = {}  # the number of the chain and its last choice, by what they compare and set
    for choice in choices:
        arches = frozenset().union(*(branch.arches for branch in choice.branches))
        if choice.default is None and len(choice.branches) == 1 and (names := choice.branches[0].sets):
            key = (frozenset(variables(Piece(choice.subject, choice.span))), names)
            number, before = last.get(key, (-1, choice))
            is_read = any(script.is_read(name, before.span.end, choice.span.start) for name in names)
            if number >= 0 and not is_read:
                chains[number] = (chains[number][0], chains[number][1] | arches)
                last[key] = (number, choice)
                continue
            last[key] = (len(chains), choice)
        chains.append((choice, arches))
    yield from chains


def _ignores_others(choice: Choice, script: ParsedScript, is_passed_on: bool) -> bool:
    """Whether an architecture that the choice does not name gets no files or wrong ones, without an error."""
    relevant = [one for one in choice.branches if not is_unrelated(one, choice, is_passed_on=is_passed_on)]
    if choice.default is None or does_nothing(choice.default):
        covers_others = _translates(choice, script) or _is_extra_step(choice, relevant, script)
    else:
        covers_others = (
            choice.default.fails
            or only_skips(choice.default)
            or only_tests(choice.default)
            or is_general(choice.default)
            or not (relevant or only_prints(choice.default.text) or names_arch(choice.default))  # a step that some skip
            or _passes_on(choice, choice.default, script)
            or (only_notes(choice.default, choice) and _is_extra_step(choice, relevant, script))
        )
    if _prepares_other(choice):
        return False
    # `if [ … != amd64 ]; then exit 1; fi` is a check, not a choice.
    is_check = choice.keyword == "if" and any(branch.fails for branch in choice.branches)
    names_arches = any(branch.arches for branch in choice.branches)
    if (
        covers_others
        or choice.output == "checksum"
        or is_check
        or not names_arches
        or _is_checked_later(choice, script)
        or _is_optional(choice, script)
    ):
        return False
    branches = (*relevant, *((choice.default,) if choice.default else ()))
    return len(relevant) > 1 or any(map(matters, branches))


def _prepares_other(choice: Choice) -> bool:
    """Whether a choice by the build platform names another architecture on purpose: `[ $BUILDARCH = amd64 ] && A=aarch64`."""
    return guard_of(choice.subject, frozenset({"any"})) == Guard() and any(
        branch.arches and not any(can_run(machine, word.arch) for machine in branch.arches)
        for branch in choice.branches
        for word in find_arch_words(constant_text(branch.text))
    )


def _is_extra_step(choice: Choice, relevant: Sequence[Branch], script: ParsedScript) -> bool:
    """Whether only one branch does something, and nothing after it reads a variable that it sets or what it prints.

    An example is a tool that exists for amd64 only. A branch with a further condition is one too, because not even its
    architecture always gets what is in it.
    """
    if len(choice.branches) == 1 and choice.keyword == "if" and AND.search(choice.subject):
        return True
    if len(relevant) > 1 or (choice.output and any(PRINTS.search(branch.text) for branch in relevant)):
        return False
    later = {use.name for use in script.uses if use.span.start >= choice.span.end}
    return not any(branch.sets & later for branch in relevant)


def _is_optional(choice: Choice, script: ParsedScript) -> bool:
    """Whether the branches only set variables that name no file: GOARM, flags of a compiler. Elsewhere they may be empty."""
    branches = (*choice.branches, *((choice.default,) if choice.default else ()))
    if any(matters(branch) or "://" in branch.text or not branch.sets for branch in choice.branches):
        return False
    if any(re.sub(r"[();\s\\]|&&|\bexport\b|(?<!\S):(?!\S)", "", SETTING.sub("", branch.text)) for branch in branches):
        return False
    names = set().union(*(branch.sets for branch in branches))
    used = {
        name for one in script.commands if one.name in FETCH | INSTALL for word in one.words for name in variables(word)
    }
    return not names & used


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


def _passes_on(choice: Choice, default: Branch, script: ParsedScript) -> bool:
    """Whether the default keeps an unknown architecture's own name, as in `*) FILE=tool-$TARGETARCH.tgz` or `> /lib/$ARCH.conf`.

    If there is no download for that architecture, the download fails, so that nothing is ignored.
    """
    subjects = _sources(choice, script)
    values = [match["value"] for match in SETTING.finditer(default.text)]
    texts = [
        *values,
        *WRITTEN_FILE.findall(default.text),
        *(" ".join(words) for words in default.commands if words[:1] not in (("echo",), ("printf",))),
    ]
    if any(ASKS_MACHINE.search(value) or subjects & set(VARIABLE.findall(value)) for value in texts):
        return True
    echoes = [words for words in default.commands if words[:1] in (("echo",), ("printf",))]
    return any(words in PRINTS_MACHINE for words in default.commands) or any(
        _is_name_with_machine(words, subjects) for words in echoes
    )


def _is_name_with_machine(words: Sequence[str], subjects: Set[str]) -> bool:
    """Whether a branch prints a name with the architecture in it, and not a message: `echo tool-$(uname -m).zip`."""
    printed = [word for word in words[1:] if not word.startswith("-")]
    if any(re.search(r"\s", constant_text(word)) for word in printed) or (words[0] == "echo" and len(printed) > 1):
        return False
    return any(ASKS_MACHINE.search(word) or subjects & set(VARIABLE.findall(word)) for word in printed)


def _sources(choice: Choice, script: ParsedScript) -> set[str]:
    """The variables that hold the architecture: those that the choice compares, those they are set from, and BuildKit's."""
    names = compared_variables(choice, script)
    return names | (PLATFORM_ARGS if names & PLATFORM_ARGS else set())


def _is_checked_later(choice: Choice, script: ParsedScript) -> bool:
    """Whether the script tests a variable that the branches set, or requires it with ${NAME:?}."""
    names = set().union(*(branch.sets for branch in choice.branches))
    # A test of a longer name counts too: $ARCH_SUFFIX for ARCH.
    if any(
        name in script.required or any(f"{tested}_".startswith(f"{name}_") for tested in script.tested)
        for name in names
    ):
        return True
    # `FOUND=0` before branches with `FOUND=1`, and `[ "$FOUND" -eq 1 ]` after them.
    if any(re.search(IS_FLAG.replace("NAME", name), script.text) for name in names):
        return True
    sources = _sources(choice, script)
    for match in LATER_DEFAULT.finditer(script.text):  # ${A:=$TARGETARCH}
        if match["name"] in names and sources & set(VARIABLE.findall(match["value"])):
            return True
    # `*) R=src` before `if [ "$R" = src ]`: the value of the default is a decision that the script asks for.
    defaults = SETTING.finditer(choice.default.text) if choice.default else ()
    return any(
        re.search(rf"\$\{{?{one['name']}\}}?[\"']?\s*(?:!=|==?)\s*[\"']?{re.escape(value)}\b", script.text)
        for one in defaults
        if (value := one["value"].strip("\"'")) and "$" not in value and not any(find_arch_words(value))
    )


def _message(choice: Choice, arches: Set[str]) -> str:
    names = ", ".join(sorted(arches))
    if choice.default is None:
        return f"handles {names} only; other architectures are ignored without an error"
    default = "*)" if choice.keyword == "case" else "else"
    return f"`{default}` handles all architectures except {names} and does not fail"
