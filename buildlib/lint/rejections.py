"""What fails for all architectures but some, so that nothing after it is silent or wrong for the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from functools import lru_cache
from typing import NamedTuple

from buildlib.lint.analysis import PLATFORM_ARGS, Analysis, variables
from buildlib.lint.base_images import constant_platform
from buildlib.lint.branches import ASKS_MACHINE, only_fails, only_prints
from buildlib.lint.parsing.arch_tests import AND, excluded_arches
from buildlib.lint.parsing.arch_words import can_run
from buildlib.lint.parsing.containerfile import Piece, Stage
from buildlib.lint.parsing.script import Choice, ParsedScript


class Rejection(NamedTuple):
    """What a choice says that fails for all architectures but `arches`. `names` are the variables that it compares and sets."""

    arches: frozenset[str]
    names: frozenset[str]
    question: str

    def covers(self, choice: Choice, question: str, script: ParsedScript) -> bool:
        """Whether each architecture that is left has a branch of another choice, or is the only one for its default.

        The default may be what a variable has before the choice: `A=amd64; if [ … = arm64 ]; then A=arm64; fi`.
        """
        is_same = self.question == question != "" or self.names & set(variables(Piece(choice.subject, choice.span)))
        left = self.arches.difference(*(branch.arches for branch in choice.branches))
        names = frozenset().union(*(branch.sets for branch in choice.branches))
        before = (one for name in names for one in script.assignments_of.get(name, ()) if not one.guards)
        is_set = any(one.span.start < choice.span.start for one in before)
        has_default = is_set if choice.default is None else not only_prints(choice.default.text)
        return bool(is_same) and len(left) <= has_default


@lru_cache(maxsize=1)  # several rules ask for the same file
def all_rejections(analysis: Analysis) -> Mapping[int, Set[Rejection]]:
    """The choices in each stage that always run and fail for other architectures: nothing else there is silent for those."""
    found: dict[int, set[Rejection]] = {}  # equal ones count once: a long script may repeat them
    for stage, rejection, _ in _rejections(analysis):
        found.setdefault(stage.number, set()).add(rejection)
    return found


def _rejections(analysis: Analysis) -> Iterator[tuple[Stage, Rejection, int]]:
    """All of them, with the stage and the end of the choice."""
    for stage, _, script in analysis.runs():
        for choice in script.choices:
            arches = frozenset() if choice.guards or choice.is_conditional else _accepted_arches(choice)
            if arches:
                names = frozenset(compared_variables(choice, script)).union(
                    *(branch.sets for branch in choice.branches)
                )
                question = question_of(analysis, stage, choice, script)
                yield stage, Rejection(arches, names, question), choice.span.end


def is_fixed(analysis: Analysis, stage: Stage, at: int, arches: Collection[str]) -> bool:
    """Whether a place in a stage is reached only on machines that run these architectures.

    The stage has a constant platform, which hardcoded-platform reports, or an earlier choice fails on all other machines.
    """
    platform = constant_platform(analysis.file.roots[stage.number])
    machines = [frozenset(platform[1])] if platform else []
    ends = _first_rejections(analysis)
    for one in analysis.file.ancestry(stage):
        machines += [accepted for accepted, end in ends.get(one.number, {}).items() if end <= at]
    return any(known and all(can_run(machine, arch) for machine in known for arch in arches) for known in machines)


@lru_cache(maxsize=1)
def _first_rejections(analysis: Analysis) -> Mapping[int, Mapping[frozenset[str], int]]:
    """What the rejections of each stage accept, if they are about the target platform, with the first place after which that holds."""
    found: dict[int, dict[frozenset[str], int]] = {}
    for stage, rejection, end in _rejections(analysis):
        if rejection.question == "target":
            found.setdefault(stage.number, {}).setdefault(rejection.arches, end)
    return found


def _accepted_arches(choice: Choice) -> frozenset[str]:
    """The architectures for which a choice does not fail, if it fails for all others; empty if it does not, or that is unknown."""
    if rejects_others(choice):
        # [ $ARCH != amd64 ] && [ $ARCH != arm64 ]
        excluded = [excluded_arches(condition) for condition in AND.split(choice.subject)]
        return frozenset().union(*excluded) if all(excluded) and choice.default is None else frozenset()
    if choice.default is None or not only_fails(choice.default):
        return frozenset()
    accepted = [branch.arches for branch in choice.branches if not only_fails(branch)]
    return frozenset().union(*accepted) if all(accepted) else frozenset()


def question_of(analysis: Analysis, stage: Stage, choice: Choice, script: ParsedScript) -> str:
    """Which platform a choice asks for, "build" or "target"; "" if that is unknown."""
    names = compared_variables(choice, script)
    if names & PLATFORM_ARGS:
        return "build" if any(name.startswith("BUILD") for name in names & PLATFORM_ARGS) else "target"
    values = [value.text for name in names for one in script.assignments_of.get(name, ()) for value in one.values]
    if not any(map(ASKS_MACHINE.search, (choice.subject, *values))):
        return ""
    platform = analysis.file.roots[stage.number].platform
    return "build" if platform and "BUILDPLATFORM" in platform.text else "target"


def rejects_others(choice: Choice) -> bool:
    """Whether what follows runs on the named architectures only.

    After `if [ $ARCH != amd64 ] && [ $ARCH != arm64 ]; then exit 1; fi` that is amd64 and arm64.
    """
    return choice.keyword == "if" and "!=" in choice.subject and any(branch.fails for branch in choice.branches)


def compared_variables(choice: Choice, script: ParsedScript) -> set[str]:
    """The variables that a choice compares, and those they are set from."""
    names = set(variables(Piece(choice.subject, choice.span)))
    for name in list(names):
        for assignment in script.assignments_of.get(name, ()):
            names |= {source for value in assignment.values for source in variables(value)}
    return names
