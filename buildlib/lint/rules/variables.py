"""ARGs that are read where nobody declared them, and platform ARGs that are declared with a value."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from buildlib.lint.analysis import Look
from buildlib.lint.finding import Edit, Finding, found
from buildlib.lint.parsing.containerfile import Instruction, Piece, Stage
from buildlib.lint.parsing.mask import BODY
from buildlib.lint.parsing.script import Use
from buildlib.lint.parsing.source import Span

PLATFORM = frozenset(f"{side}{what}" for side in ("TARGET", "BUILD") for what in ("PLATFORM", "OS", "ARCH", "VARIANT"))
# What every RUN has without a declaration.
PREDEFINED = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "PATH", "HOME", "PWD", "USER", "HOSTNAME",
                        "SHELL", "IFS", "OLDPWD", "RANDOM", "UID", "TERM", "LANG"})  # fmt: skip
QUOTED = re.compile(r"(?P<double>\"(?:\\.|[^\"\\])*\")|'[^']*'|(?<=\n)[ \t]*#[^\n]*|\\.", re.DOTALL)


@cache
def _of_images() -> Mapping[str, list[str]]:
    """What images set for themselves, by the last part of their names."""
    return tomllib.loads(Path(__file__).with_name("images.toml").read_text(encoding="utf-8"))


def check(look: Look) -> Iterator[Finding]:
    """arg-lost-after-from and shadowed-platform-arg."""
    outer = {name.text for instruction in look.file.before for name, _ in instruction.pairs}
    for stage in look.file.stages:
        yield from _in_from(look, stage, outer)
        yield from _lost(look, stage, outer)
    for instruction in (*look.file.before, *(i for stage in look.file.stages for i in stage.instructions)):
        yield from _shadowed(look, instruction)


def _in_from(look: Look, stage: Stage, outer: set[str]) -> Iterator[Finding]:
    """FROM reads what stands before the first FROM, and nothing else."""
    earlier = {
        n.text for s in look.file.stages[: stage.number] for i in s.instructions if i.kind == "arg" for n, _ in i.pairs
    }
    for use in _own(look, stage.head):
        if use.name in earlier and use.name not in outer | PLATFORM and not use.fallback:
            text = f"{use.name} is declared in a stage; FROM reads what stands before the first FROM"
            yield found(
                look.source, "arg-lost-after-from", use.span, text, help=f"ARG {use.name} before the first FROM"
            )


def _lost(look: Look, stage: Stage, outer: set[str]) -> Iterator[Finding]:
    known, given = _inherited(look, stage)
    elsewhere = _elsewhere(look, stage)
    declared = {name.text for i in stage.instructions if i.kind == "arg" and not i.deferred for name, _ in i.pairs}
    cured: set[str] = set()  # one ARG is enough for all that comes behind it
    for instruction in stage.instructions:
        if instruction.deferred:
            continue
        told: set[str] = set()
        for use in _uses(look, stage, instruction):
            name = use.name
            late = name in declared
            ours = late or name in outer or name in PLATFORM or name in elsewhere
            if not ours or name in known | given | PREDEFINED | told or name.upper() in PREDEFINED:
                continue
            if use.fallback and instruction.kind == "run" and name not in outer | PLATFORM:
                continue  # in a script, a variable of another's that may be set
            told.add(name)
            where = "is declared further down" if late else "is not declared in this stage"
            start = look.source.start_of(look.source.line(instruction.span.start))
            cure = Edit(span=Span(start, start), text=f"ARG {name}{look.source.newline}")
            edits = () if late or name in cured else (cure,)
            cured.add(name)
            yield found(
                look.source, "arg-lost-after-from", use.span, f"{name} {where}: it is empty here",
                help=f"ARG {name} before this line", edits=edits,
            )  # fmt: skip
        if instruction.kind in ("arg", "env"):
            known |= {name.text for name, _ in instruction.pairs}


def _inherited(look: Look, stage: Stage) -> tuple[set[str], set[str]]:
    """Names that the stages below have declared or set (both are inherited), and those that an official image brings."""
    below = list(look.file.line(stage))
    known = {n.text for s in below[1:] for i in s.instructions if i.kind in ("arg", "env") for n, _ in i.pairs}
    image = look.filled(below[-1].base.text).partition("@")[0].rpartition("/")[2].partition(":")[0]
    return known, {name for part, names in _of_images().items() if part in (image, *image.split("-")) for name in names}


def _elsewhere(look: Look, stage: Stage) -> set[str]:
    """ARGs of stages that this one does not stand on."""
    below = {one.number for one in look.file.line(stage)}
    return {
        name.text
        for other in look.file.stages
        if other.number not in below and other.number < stage.number
        for instruction in other.instructions
        if instruction.kind == "arg"
        for name, _ in instruction.pairs
    }


def _uses(look: Look, stage: Stage, instruction: Instruction) -> Iterator[Use]:
    """The variables that are read while the image is built."""
    if instruction.kind == "run":
        script = look.script(stage, instruction)
        if script is None or instruction.exec_form:  # nobody puts anything into an exec form
            return
        ours = {one.name for one in script.assignments if not one.before_command} | script.sets
        for use in script.uses:
            if use.name not in ours and not (script.sources and use.name not in PLATFORM):
                yield use
        for flag in instruction.flags:
            yield from _in_text(flag)
        return
    for text in instruction.heredocs:
        if not any(re.match(r"<<-?[\"']", word.text) for word in instruction.words):
            yield from _in_text(text)
    if instruction.kind not in ("cmd", "entrypoint", "healthcheck", "shell"):
        yield from _own(look, instruction)


def _own(look: Look, instruction: Instruction) -> Iterator[Use]:
    """What the builder itself puts in: nothing between single quotes, and in comments."""
    logical = BODY.match(look.source.text, instruction.span.start)
    span = Span(instruction.span.start, logical.end() if logical else instruction.span.end)
    text = QUOTED.sub(lambda found: found["double"] or " " * len(found[0]), look.source.part(span))
    yield from _in_text(Piece(text, span))


def _in_text(piece: Piece) -> Iterator[Use]:
    for match in re.finditer(r"(?<!\\)\$\{?([A-Za-z_]\w*)(:?-)?", piece.text):
        start = piece.span.start + len(piece.text[: match.start(1)].encode())
        yield Use(match[1], Span(start, start + len(match[1])), bool(match[2]))


def _shadowed(look: Look, instruction: Instruction) -> Iterator[Finding]:
    if instruction.kind not in ("arg", "env"):
        return
    for name, value in instruction.pairs:
        if name.text in PLATFORM and value is not None and not (instruction.kind == "env" and "$" in value.text):
            edits = (Edit(span=Span(name.span.end, value.span.end), text=""),) if instruction.kind == "arg" else ()
            text = f"{name.text} is {value.bare} here, whatever is built for"
            yield found(look.source, "shadowed-platform-arg", Span(name.span.start, value.span.end), text, edits=edits)
