"""The stages of a Dockerfile: which one is based on which, and what each uses. Pure.

Model: instructions/parse.go and dockerfile2llb/convert.go of BuildKit's Dockerfile frontend.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from buildlib.base_images import mounts
from buildlib.base_images.instructions import BLANKS, Instruction, LineFault, escape_of
from buildlib.base_images.instructions import read as read_instructions
from buildlib.base_images.mounts import SCRATCH
from buildlib.base_images.patterns import SyntaxFault
from buildlib.base_images.words import Expanded, expand
from buildlib.core.errors import UsageError
from buildlib.registry import reference

STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*")
INDEX = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A FROM and the instructions up to the next one."""

    number: int
    name: str  # in lower case, "" without one
    base: str  # as it is written
    platform: str  # the value of --platform as it is written
    line: int
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A whole Dockerfile. `arguments` are the names and defaults of the ARGs before the first FROM, with their lines."""

    escape: str
    arguments: tuple[tuple[str, str | None, int], ...]
    stages: tuple[Stage, ...]

    def expand(self, word: str, values: Mapping[str, str], line: int) -> Expanded:
        """The word with its variables replaced. LineFault for one that BuildKit does not accept."""
        try:
            return expand(word, values, self.escape)
        except SyntaxFault as fault:
            raise LineFault(line, f"{word}: {fault}") from None


def read(text: str) -> File:
    """The stages of a Dockerfile. LineFault for a text that BuildKit does not accept."""
    escape = escape_of(text)
    arguments: list[tuple[str, str | None, int]] = []
    heads: list[Instruction] = []
    bodies: list[list[Instruction]] = []
    for instruction in read_instructions(text, escape):
        if instruction.name == "FROM":
            heads.append(instruction)
            bodies.append([])
        elif heads:
            bodies[-1].append(instruction)
        elif instruction.name == "ARG":
            arguments += [(name, value, instruction.line) for name, value in instruction.pairs(escape)]
        else:
            raise LineFault(
                instruction.line, f"{instruction.name} before the first FROM", "only ARG may come before it"
            )
    if not heads:
        raise LineFault(1, "no FROM", "a Dockerfile begins with FROM")
    stages = tuple(_stage(number, *parts) for number, parts in enumerate(zip(heads, bodies, strict=True)))
    return File(escape=escape, arguments=tuple(arguments), stages=stages)


def _stage(number: int, head: Instruction, body: Sequence[Instruction]) -> Stage:
    words = BLANKS.split(head.args)
    if len(words) not in (1, 3) or not words[0] or (len(words) == 3 and words[1].lower() != "as"):
        raise LineFault(head.line, f"FROM {head.args}: expected IMAGE or IMAGE AS NAME")
    name = words[2].lower() if len(words) == 3 else ""
    if name and not STAGE_NAME.fullmatch(name):
        raise LineFault(head.line, f"{words[2]!r} is not a name for a stage", "begin with a letter; then a-z 0-9 - _ .")
    unknown = [flag for flag in head.flags if not flag.startswith("--platform=")]
    if unknown:
        raise LineFault(head.line, f"unknown flag {unknown[0]}", "FROM has only --platform=")
    return Stage(number=number, name=name, base=words[0], platform=head.value("platform"), line=head.line,
                 instructions=tuple(body))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of the global ARGs for one platform. `missing` are the ARGs without a value that each of them contains."""

    given: Mapping[str, str]  # --build-arg
    known: Mapping[str, str]
    missing: Mapping[str, tuple[str, ...]]

    def missed(self, word: Expanded) -> tuple[str, ...]:
        """The variables without a value in a word, also in the values of others."""
        inherited = (name for used in word.used for name in self.missing.get(used, ()))
        return tuple(dict.fromkeys((*word.unset, *inherited)))


def values_for(file: File, given: Mapping[str, str], target: str, platform: str, build: str) -> Values:
    """The values of the global ARGs, with BuildKit's own; `platform` is that of the image, `build` the one that builds."""
    known = {"TARGETSTAGE": target or "default"}
    for side, name in (("TARGET", platform), ("BUILD", build)):
        system, architecture, variant = (*name.split("/"), "", "")[:3]
        known |= {f"{side}PLATFORM": name, f"{side}OS": system, f"{side}OSVERSION": "", f"{side}ARCH": architecture,
                  f"{side}VARIANT": variant}  # fmt: skip
    known |= {name: value for name, value in given.items() if name in known}
    values = Values(given=given, known=known, missing=(missing := {}))
    for name, default, line in file.arguments:
        if name in given:
            known[name] = given[name]
        elif default is not None:
            word = file.expand(default, known, line)
            known[name], missing[name] = word.text, values.missed(word)
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a stage, or an instruction of one, takes files from: a stage, or else an image."""

    line: int
    instruction: str
    text: str  # as it is written
    stage: int | None = None
    image: str = ""  # the name after the substitution


class Graph:
    """The stages for one platform. Stages that `contexts` replace have no base."""

    def __init__(self, file: File, values: Values, contexts: Collection[str]) -> None:
        self.file, self.values, self.contexts = file, values, frozenset(map(context_name, contexts))
        self.names: dict[str, int] = {}
        self.words = [file.expand(stage.base, values.known, stage.line) for stage in file.stages]
        self.parents: list[int | None] = []
        for stage, word in zip(file.stages, self.words, strict=True):
            self.parents.append(None if self.is_replaced(stage) else self.names.get(word.text))
            if stage.name:
                self.names[stage.name] = stage.number

    def is_replaced(self, stage: Stage) -> bool:
        """Whether a build context is used instead of the stage."""
        return bool(stage.name) and context_name(stage.name) in self.contexts

    def instructions(self, stage: Stage) -> tuple[Instruction, ...]:
        """What is executed in a stage: what the stage that it is based on has deferred, and its own."""
        parent = self.parents[stage.number]
        above = () if parent is None else self.file.stages[parent].instructions
        deferred = (instruction.child(self.file.escape) for instruction in above if instruction.name == "ONBUILD")
        return (*deferred, *(instruction for instruction in stage.instructions if instruction.name != "ONBUILD"))

    def origins(self, stage: Stage) -> Iterator[Origin]:
        """What COPY --from and RUN --mount of a stage name. LineFault for what BuildKit does not accept."""
        for instruction in self.instructions(stage):
            line = instruction.line
            if instruction.name == "COPY" and (text := instruction.value("from")):
                if self.file.expand(text, {}, line).text != text:
                    raise LineFault(line, f"COPY --from={text}: variables are not expanded here", mounts.FROM_HELP)
                yield self._origin(line, "COPY --from", text, is_index=bool(INDEX.fullmatch(text)))
            elif instruction.name == "RUN":
                for text in mounts.sources(instruction):
                    yield self._origin(line, "RUN --mount", text, is_index=False)

    def _origin(self, line: int, instruction: str, text: str, *, is_index: bool) -> Origin:
        number = int(text) if is_index else self.names.get(text.lower())
        if number is not None and not 0 <= number < len(self.file.stages):
            raise LineFault(line, f"{instruction}={text}: there is no stage with this number")
        return Origin(
            line=line, instruction=instruction, text=text, stage=number, image="" if number is not None else text
        )

    def reachable(self, target: int, *, executed: bool) -> list[Stage]:
        """The stages that a build of `target` uses, in order of the file.

        BuildKit also asks for the images of stages that only a replaced stage names (seen with 0.25); it executes nothing of them.

        Raises:
            LineFault: A stage is used before it is defined.
        """
        found, pending = set(), [target]
        while pending:
            number = pending.pop()
            if number in found:
                continue
            found.add(number)
            stage, parent = self.file.stages[number], self.parents[number]
            pending += [] if parent is None else [parent]
            for origin in () if executed and self.is_replaced(stage) else self.origins(stage):
                if origin.stage is not None and origin.stage >= number and origin.text != SCRATCH:
                    name = f"{origin.instruction}={origin.text}"
                    raise LineFault(origin.line, f"{name}: the stage is defined later", "define it before this one")
                pending += [] if origin.stage is None else [origin.stage]
        return [self.file.stages[number] for number in sorted(found)]


def context_name(name: str) -> str:
    """The name by which BuildKit looks for a build context: `debian` for docker.io/library/debian:latest."""
    canonical = canonical_name(name)
    for prefix in (f"{reference.HUB}/library/", f"{reference.HUB}/"):
        canonical = canonical.removeprefix(prefix)
    return canonical.removesuffix(":latest") or name


def canonical_name(name: str) -> str:
    """The complete name of an image: docker.io/library/debian:latest. "" if BuildKit does not accept it."""
    try:
        parsed = reference.parse(name) if "://" not in name else None
    except UsageError:
        return ""
    if parsed is None:
        return ""
    return str(parsed) if parsed.tag or parsed.digest else f"{parsed}:latest"
