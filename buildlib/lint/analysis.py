"""What rules ask of a Dockerfile: its scripts, what selects an architecture in it, and the values of its variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from buildlib.lint.parsing import shell
from buildlib.lint.parsing.arch_words import ArchWord, arches_of_pattern, can_run, find_arch_words
from buildlib.lint.parsing.containerfile import File, Instruction, Piece, Stage
from buildlib.lint.parsing.script import VARIABLE, Assignment, Guard, ParsedScript
from buildlib.lint.parsing.source import Source
from buildlib.lint.toolchains import FOREIGN, compiling_stages, cross_arches

EXPANSION = re.compile(
    r"\$\{\{.*?\}\}|\$\{(?:[^{}]|\{[^{}]*\})*\}|\$\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|`[^`]*`|\$(?:\d|[A-Za-z_]\w*)",
    re.DOTALL,
)
CASE = re.compile(r"\$\(\s*case\b.*?\besac\b[^)]*\)", re.DOTALL)
WHOLE_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
BASH_TABLE = re.compile(r"\(\s*\[")  # an array with keys
# BuildKit's predefined arguments.
PLATFORM_ARGS = frozenset(
    f"{side}{part}" for side in ("TARGET", "BUILD") for part in ("PLATFORM", "OS", "ARCH", "VARIANT")
)


@dataclass(frozen=True)
class Value:
    """The value of a variable that does not depend on the architecture.

    `is_parameter` marks the default of an ARG, which a caller may change.
    """

    piece: Piece
    is_parameter: bool = False


@dataclass(frozen=True, eq=False)
class Analysis:
    """One Dockerfile; answers are computed once."""

    file: File

    @property
    def source(self) -> Source:
        """The file's bytes."""
        return self.file.source

    def runs(self) -> Iterator[tuple[Stage, Instruction, ParsedScript]]:
        """Every RUN whose script can be read."""
        for stage in self.file.stages:
            for instruction in stage.instructions:
                if script := self.script(stage, instruction):
                    yield stage, instruction, script

    def script(self, stage: Stage, instruction: Instruction) -> ParsedScript | None:
        """The script of a RUN; None for another instruction, and in a stage whose shell is not a POSIX shell."""
        return self._scripts.get(id(instruction)) if instruction.kind == "run" and stage.posix else None

    @cached_property
    def _scripts(self) -> Mapping[int, ParsedScript]:
        runs = (run for stage in self.file.stages if stage.posix for run in stage.instructions if run.kind == "run")
        return {
            id(run): shell.read(run.script) if run.script else shell.read_exec_form(run.words, run.span) for run in runs
        }

    # --- what selects an architecture ------------------------------------------------------------------------------

    def stage_guards(self, stage: Stage) -> tuple[Guard, ...]:
        """What selects a whole stage: the file's name, or a FROM with a variable in the stage's name."""
        return self._stage_guards[stage.number]

    @cached_property
    def _stage_guards(self) -> list[tuple[Guard, ...]]:
        of_file = (Guard(self.source.arches),) if self.source.arches else ()
        guards: list[tuple[Guard, ...]] = []
        for stage in self.file.stages:
            inherited = of_file if stage.parent is None else guards[stage.parent]
            if stage.name in self._selected_names:
                inherited = (*of_file, Guard(_arches_of_name(stage.name)), *inherited[len(of_file) :])
            guards.append(inherited)
        return guards

    @cached_property
    def _selected_names(self) -> frozenset[str]:
        """The names of stages that a FROM selects with a variable.

        A FROM that is nothing but a variable selects among stages with the names of architectures; otherwise it may name any image.
        """
        only_variable = any(EXPANSION.fullmatch(stage.base.text) for stage in self.file.stages)
        return frozenset(
            stage.name
            for stage in self.file.stages
            if stage.name
            and (
                any(pattern.fullmatch(stage.name) for pattern in self._name_patterns)
                or (only_variable and any(match.word == stage.name for match in find_arch_words(stage.name)))
            )
        )

    @cached_property
    def _name_patterns(self) -> list[re.Pattern[str]]:
        """A pattern for each stage name that contains a variable."""
        names = [stage.base.text for stage in self.file.stages if "$" in stage.base.text]
        for stage in self.file.stages:
            images = (instruction.flag("from") for instruction in stage.instructions)
            names += [image.text for image in images if image and "$" in image.text]
        constant_parts = [EXPANSION.split(name) for name in names]
        return [re.compile(".+".join(map(re.escape, parts)), re.IGNORECASE) for parts in constant_parts if any(parts)]

    def is_stage(self, image: Piece) -> bool:
        """Whether an image is a stage of this file."""
        return any(stage.name.lower() == image.bare.lower() for stage in self.file.stages)

    def may_be_stage(self, image: Piece, stages: Sequence[Stage] = ()) -> bool:
        """Whether an image with variables in its name may be one of these stages, or one of all stages of this file."""
        if "$" not in image.text:
            return False
        pattern = re.compile(".*".join(map(re.escape, EXPANSION.split(image.text))), re.IGNORECASE)
        return any(pattern.fullmatch(stage.name) for stage in stages or self.file.stages if stage.name)

    def possible_parents(self, stage: Stage) -> Sequence[int]:
        """The numbers of the stages that a stage may be based on: several for `FROM build-$TARGETARCH`."""
        return self._possible_parents[stage.number]

    @cached_property
    def _possible_parents(self) -> list[Sequence[int]]:
        return [[stage.parent] if stage.parent is not None else self._chosen_by(stage) for stage in self.file.stages]

    def _chosen_by(self, stage: Stage) -> Sequence[int]:
        """The numbers of the stages that a FROM with a variable may mean."""
        if "$" not in stage.base.text:
            return ()
        parts = EXPANSION.split(self.with_global_args(stage.base.text))
        pattern = re.compile(".*".join(map(re.escape, parts)), re.IGNORECASE)
        return [one.number for one in self.file.stages[: stage.number] if one.name and pattern.fullmatch(one.name)]

    # --- cross toolchains ------------------------------------------------------------------------------------------

    def is_toolchain(self, stage: Stage) -> bool:
        """Whether a stage only provides cross compilers: neither it nor a stage based on it compiles a project."""
        return self._cross_arches[stage.number] is not None and not self._compiles[stage.number]

    def toolchain_arches(self, stage: Stage) -> frozenset[str]:
        """The architectures that a toolchain stage compiles for."""
        return (self._cross_arches[stage.number] if self.is_toolchain(stage) else None) or frozenset()

    def foreign_arches(self, stage: Stage) -> frozenset[str]:
        """The architectures of which dpkg accepts packages in a stage besides its own: `dpkg --add-architecture i386`."""
        found = (FOREIGN.findall(self._texts[one.number]) for one in self.file.ancestry(stage))
        return frozenset().union(*(arches_of_pattern(word) for words in found for word in words))

    @cached_property
    def _cross_arches(self) -> list[frozenset[str] | None]:
        return cross_arches(self.file, self._texts)

    @cached_property
    def _compiles(self) -> list[bool]:
        return compiling_stages(self.file, self._texts)

    @cached_property
    def _texts(self) -> list[str]:
        """All scripts of each stage."""
        return [
            " ".join(self._scripts[id(one)].text for one in stage.instructions if id(one) in self._scripts)
            for stage in self.file.stages
        ]

    # --- values of variables ---------------------------------------------------------------------------------------

    def values(self, stage: Stage, script: ParsedScript | None, name: str) -> Sequence[Value]:
        """The values of a variable in a script, all for the same architecture; none if that depends on a choice or is unknown."""
        if script is not None:
            assignments = script.assignments_of.get(name, ())
            if assignments or name in script.otherwise_set:
                return _values_of(assignments)
        for ancestor in self.file.ancestry(stage):
            if value := self._values[ancestor.number].get(name):
                return (value,)
        return ()

    def selects_stage(self, stage: Stage, name: str) -> bool:
        """Whether a variable is in the FROM of a stage or an ancestor: the whole stage is then for the platform it names."""
        froms = (part.text for one in self.file.ancestry(stage) for part in (one.base, one.platform) if part)
        return any(name in VARIABLE.findall(text) for text in froms)

    def is_for_argument(self, stage: Stage) -> bool:
        """Whether the FROM of a stage or an ancestor has an ARG for the architecture, which the other ARGs of the stage follow."""
        return self._for_argument[self.file.roots[stage.number].number]

    @cached_property
    def _for_argument(self) -> list[bool]:
        used = [
            VARIABLE.findall(stage.base.text + (stage.platform.text if stage.platform else ""))
            for stage in self.file.stages
        ]
        return [any(map(self._is_architecture, names)) for names in used]

    def _is_architecture(self, name: str) -> bool:
        """Whether a global ARG is an architecture, by its default or, without one, by its name."""
        default = self.global_default(name)
        if name in PLATFORM_ARGS or (default is not None and re.search("[/:$]", default.bare)):
            return False
        return bool(arches_of_pattern(default.bare)) if default is not None and default.bare else "ARCH" in name.upper()

    @cached_property
    def _values(self) -> list[dict[str, Value]]:
        """The values of ENV and ARG in each stage, with the global ARGs that the stage declares."""
        global_args = self._global_args
        values = []
        for stage in self.file.stages:
            args = [
                pair for instruction in stage.instructions if instruction.kind == "arg" for pair in instruction.pairs
            ]
            declared = {name.text for name, value in args if value is None}
            inherited = {name: global_args[name] for name in declared if name in global_args}
            values.append(inherited | _declared(stage.instructions))
        return values

    def global_default(self, name: str) -> Piece | None:
        """The default of an ARG before the first FROM."""
        value = self._global_args.get(name)
        return value.piece if value else None

    @cached_property
    def _global_args(self) -> dict[str, Value]:
        return _declared(self.file.before)

    def with_global_args(self, text: str) -> str:
        """The text with the defaults of global ARGs, as FROM reads it without --build-arg."""
        args = self._global_args
        for _ in range(3):  # a default may contain another ARG
            text = WHOLE_VARIABLE.sub(lambda match: args[match[1]].piece.bare if match[1] in args else match[0], text)
        return text


def _values_of(assignments: Sequence[Assignment]) -> Sequence[Value]:
    """One value of each assignment, if all name the same architectures: branches may differ in something else, a version."""
    if any(assignment.guards for assignment in assignments):
        return ()
    # `f=` before a choice sets nothing.
    given = [one for one in assignments if len(assignments) == 1 or any(value.bare for value in one.values)]
    if any(not one.values or BASH_TABLE.match(one.values[0].text) for one in given):
        return ()
    # A loop over files of one architecture sets the variable to files of that architecture.
    arches = {frozenset(match.arch for match in arch_words(value)) for one in given for value in one.values}
    if len(arches) != 1 or (len(given) > 1 and not any(arches)):
        return ()
    return [Value(one.values[0]) for one in given]


def _declared(instructions: tuple[Instruction, ...]) -> dict[str, Value]:
    """The values of ARG and ENV. ENV A=$A keeps the value of the ARG."""
    declared: dict[str, Value] = {}
    for instruction in instructions:
        for name, value in instruction.pairs if instruction.kind in ("arg", "env") else ():
            own = WHOLE_VARIABLE.fullmatch(value.bare) if value is not None else None
            if value is not None and not (own and own[1] == name.text):
                declared[name.text] = Value(value, instruction.kind == "arg")
    return declared


def _arches_of_name(name: str) -> frozenset[str]:
    """The architectures in a stage's name; otherwise that of its last part, as in `dl-386`."""
    arches = frozenset(match.arch for match in find_arch_words(name))
    return arches or arches_of_pattern(re.split(r"[-_.]", name)[-1])


def mismatch(guards: tuple[Guard, ...], arches: set[str]) -> str:
    """The architecture of the innermost branch, if it runs nothing that is for `arches`; "" if it does or is unknown."""
    selected = next((guard.arches for guard in reversed(guards) if guard.arches), frozenset())
    if not selected or not arches or any(can_run(machine, arch) for machine in selected for arch in arches):
        return ""
    return " or ".join(sorted(selected))


def constant_text(text: str) -> str:
    """The text with placeholders for variables and command substitutions; its length stays the same."""
    if "$" not in text and "`" not in text:
        return text
    # CASE first: the patterns of a `case` have closing parentheses without opening ones.
    for pattern in (CASE, EXPANSION):
        text = pattern.sub(lambda match: "\x01" * len(match[0]), text)
    return text


def arch_words(piece: Piece) -> list[ArchWord]:
    """The words for architectures that are written out in a piece."""
    return list(find_arch_words(constant_text(piece.text)))


def variables(piece: Piece) -> list[str]:
    """The names of the variables in a piece."""
    return VARIABLE.findall(piece.text)
