"""arg-lost-after-from (BL005): an ARG that is used in a stage, or in a FROM, where it is not declared."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from buildlib.lint.analysis import PLATFORM_ARGS, Analysis
from buildlib.lint.finding import Edit, Finding, make_finding
from buildlib.lint.parsing.containerfile import Instruction, Piece, Stage
from buildlib.lint.parsing.mask import BODY
from buildlib.lint.parsing.script import Use
from buildlib.lint.parsing.source import Span

RULE = "arg-lost-after-from"
# Variables that every RUN has without a declaration.
PREDEFINED = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "PATH", "HOME", "PWD", "USER", "HOSTNAME",
                        "SHELL", "IFS", "OLDPWD", "RANDOM", "UID", "TERM", "LANG"})  # fmt: skip
QUOTED = re.compile(r"(?P<double>\"(?:\\.|[^\"\\])*\")|'[^']*'|(?<=\n)[ \t]*#[^\n]*|\\.", re.DOTALL)
VARIABLE_USE = re.compile(r"(?<!\\)\$\{?([A-Za-z_]\w*)(:?-)?")
QUOTED_HEREDOC = re.compile(r"<<-?[\"']")


@cache
def _image_variables() -> Mapping[str, list[str]]:
    """The variables that images set, by the last part of their names."""
    return tomllib.loads(Path(__file__).with_name("images.toml").read_text(encoding="utf-8"))


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check each FROM and each stage."""
    global_args = {name.text for instruction in analysis.file.before for name, _ in instruction.pairs}
    known: list[set[str]] = []  # by stage: names that it and its ancestors declare or set; a stage inherits both
    declaring: dict[str, list[int]] = {}  # by name: the stages with an ARG of that name
    for stage in analysis.file.stages:
        yield from _check_from(analysis, stage, global_args, declaring)
        inherited = set().union(*(known[number] for number in analysis.possible_parents(stage)))
        yield from _check_stage(analysis, stage, inherited, global_args, declaring)
        known.append(inherited | _names(stage.instructions, "arg", "env"))
        for name in _names(stage.instructions, "arg"):
            declaring.setdefault(name, []).append(stage.number)


def _check_from(
    analysis: Analysis, stage: Stage, global_args: set[str], declaring: Mapping[str, Sequence[int]]
) -> Iterator[Finding]:
    """FROM reads only ARGs before the first FROM."""
    for use in _uses_in_instruction(analysis, stage.head):
        if use.name in declaring and use.name not in global_args | PLATFORM_ARGS and not use.has_default:
            text = f"{use.name} is declared in a stage, but FROM reads only ARGs before the first FROM"
            help_text = f"declare ARG {use.name} before the first FROM"
            yield make_finding(analysis.source, RULE, use.span, text, help=help_text)


def _check_stage(
    analysis: Analysis, stage: Stage, inherited: set[str], global_args: set[str], declaring: Mapping[str, Sequence[int]]
) -> Iterator[Finding]:
    known = inherited | _base_image_variables(analysis, stage) | PREDEFINED
    outside = global_args | PLATFORM_ARGS
    declared = _names([i for i in stage.instructions if not i.deferred], "arg")
    fixed: set[str] = set()  # one ARG declares the name for all later instructions
    for instruction in stage.instructions:
        if instruction.deferred:
            continue
        reported: set[str] = set()
        for use in _uses(analysis, stage, instruction):
            name = use.name
            if name in known or name in reported or name.upper() in PREDEFINED:
                continue
            if use.has_default and name in _names([instruction], "arg") and name not in outside:
                continue  # ARG A=${A:-x}: the default of its own
            is_elsewhere = name in declaring and _is_in_another(analysis, stage, declaring[name])
            if not (name in declared or name in outside or is_elsewhere):
                continue  # not an ARG
            if use.has_default and instruction.kind == "run" and name not in outside:
                continue  # in a script, an ordinary variable that may be set
            reported.add(name)
            edits = () if name in declared or name in fixed else (_declaration(analysis, instruction, name),)
            fixed.add(name)
            where = "is declared after this line" if name in declared else "is not declared in this stage"
            yield make_finding(
                analysis.source, RULE, use.span, f"{name} {where}: it is empty here",
                help=f"declare ARG {name} before this line", edits=edits,
            )  # fmt: skip
        if instruction.kind in ("arg", "env"):
            known |= {name.text for name, _ in instruction.pairs}


def _is_in_another(analysis: Analysis, stage: Stage, numbers: Sequence[int]) -> bool:
    """Whether one of the stages with these numbers is neither `stage` nor an ancestor of it.

    An image that is not an official one may set any variable, also one with the name of another stage's ARG.
    """
    image = analysis.with_global_args(analysis.file.roots[stage.number].base.text)
    if re.search("[/$]", image):
        return False
    return not {ancestor.number for ancestor in analysis.file.ancestry(stage)}.issuperset(numbers)


def _declaration(analysis: Analysis, instruction: Instruction, name: str) -> Edit:
    start = analysis.source.line_start(analysis.source.line(instruction.span.start))
    return Edit(span=Span(start, start), text=f"ARG {name}{analysis.source.newline}")


def _names(instructions: Iterable[Instruction], *kinds: str) -> set[str]:
    """The names in all instructions of these kinds."""
    return {name.text for instruction in instructions if instruction.kind in kinds for name, _ in instruction.pairs}


def _base_image_variables(analysis: Analysis, stage: Stage) -> set[str]:
    """The variables that an official base image sets."""
    first = analysis.file.roots[stage.number]
    image = analysis.with_global_args(first.base.text).partition("@")[0].rpartition("/")[2].partition(":")[0]
    return {name for part in (image, *image.split("-")) for name in _image_variables().get(part, ())}


def _uses(analysis: Analysis, stage: Stage, instruction: Instruction) -> Iterator[Use]:
    """The variables that are read during the build."""
    if instruction.kind == "run":
        yield from _uses_in_run(analysis, stage, instruction)
        return
    if not any(QUOTED_HEREDOC.match(word.text) for word in instruction.words):
        for heredoc in instruction.heredocs:
            yield from _uses_in_text(heredoc)
    if instruction.kind not in ("cmd", "entrypoint", "healthcheck", "shell"):
        yield from _uses_in_instruction(analysis, instruction)


def _uses_in_run(analysis: Analysis, stage: Stage, instruction: Instruction) -> Iterator[Use]:
    script = analysis.script(stage, instruction)
    if script is None or instruction.exec_form:  # nothing expands variables in an exec form
        return
    own = {assignment.name for assignment in script.assignments if not assignment.before_command} | script.otherwise_set
    for use in script.uses:
        if use.name not in own and (use.name in PLATFORM_ARGS or not script.sources_file):
            yield use
    for flag in instruction.flags:
        yield from _uses_in_text(flag)


def _uses_in_instruction(analysis: Analysis, instruction: Instruction) -> Iterator[Use]:
    """The variables that BuildKit itself expands: none in single quotes and in comments."""
    body = BODY.match(analysis.source.text, instruction.span.start)
    span = Span(instruction.span.start, body.end() if body else instruction.span.end)
    text = analysis.source.text_at(span)
    if "$" in text:
        text = QUOTED.sub(lambda match: match["double"] or " " * len(match[0]), text)
        yield from _uses_in_text(Piece(text, span))


def _uses_in_text(piece: Piece) -> Iterator[Use]:
    for match in VARIABLE_USE.finditer(piece.text):
        start = piece.span.start + len(piece.text[: match.start(1)].encode())
        yield Use(match[1], Span(start, start + len(match[1])), bool(match[2]))
