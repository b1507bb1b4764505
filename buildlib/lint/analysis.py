"""What rules ask of a file: its scripts, what chooses between architectures in it, and what its variables hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from buildlib.lint.parsing import shell
from buildlib.lint.parsing.containerfile import File, Instruction, Piece, Stage
from buildlib.lint.parsing.script import Guard, Shell
from buildlib.lint.parsing.source import Source
from buildlib.lint.parsing.words import TRIPLE, Found, find, meant

EXPANSION = re.compile(
    r"\$\{\{.*?\}\}|\$\{(?:[^{}]|\{[^{}]*\})*\}|\$\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|`[^`]*`|\$(?:\d|[A-Za-z_]\w*)",
    re.DOTALL,
)
CASE = re.compile(r"\$\(\s*case\b.*?\besac\b[^)]*\)", re.DOTALL)
NAME = re.compile(r"\$\{?(\w+)")
NAMED = re.compile(r"\$\{?(\w+)\}?")
# An image to compile with, for the one target in its name; not one to stand on.
CROSS_IMAGE = re.compile(r"cross|muslcc|musl-builder|rust-musl|crosstool|zigbuild|osxcross|qemu|xx$", re.IGNORECASE)
COMPILES = re.compile(
    r"\b(?:cargo|cargo-zigbuild|cross)\s+(?:\+\S+\s+)?(?:z?build|zigbuild|install|rustc)\b|\bgo\s+(?:build|install)\b"
)
TOOLCHAIN = re.compile(
    r"\b(?:gcc|g\+\+)-(?:\d+-)?[\w-]+-linux-gnu\w*|crossbuild-essential-\w+|(?:musl|cross|gcc)-toolchain|musl-cross|crosstool|ct-ng|binutils-[\w-]+-linux-gnu"
    r"|--target=[\w-]+-(?:linux|elf|eabi)",
)
TABLE = re.compile(r"\(\s*\[")  # of bash's, by key
ELSEWHERE = re.compile(
    r"android|windows|mingw|darwin|apple|freebsd|netbsd|solaris|illumos|fuchsia|ohos|wasm|uefi", re.IGNORECASE
)
# What cargo, cc and bindgen read for one target: an image that sets it was made for that.
PER_TARGET = re.compile(r"^CARGO_TARGET_|^(?:CC|CXX|AR|RANLIB|CFLAGS|CXXFLAGS)_(?:\w+_)(?:linux|unknown|none)_\w+$")


@dataclass(frozen=True)
class Value:
    """What a variable holds where nothing chooses it. `parameter` is the default of an ARG, which a caller may change."""

    piece: Piece
    parameter: bool = False


@dataclass(frozen=True, eq=False)
class Look:
    """One file, looked at once."""

    file: File

    @property
    def source(self) -> Source:
        return self.file.source

    def runs(self) -> Iterator[tuple[Stage, Instruction, Shell]]:
        """The scripts that a build runs."""
        for stage in self.file.stages:
            for instruction in stage.instructions:
                if found := self.script(stage, instruction):
                    yield stage, instruction, found

    def script(self, stage: Stage, instruction: Instruction) -> Shell | None:
        """What a RUN does; None for another instruction, and in a shell that is none of POSIX's."""
        return self._scripts.get(id(instruction)) if instruction.kind == "run" and stage.posix else None

    @cached_property
    def _scripts(self) -> Mapping[int, Shell]:
        runs = (i for stage in self.file.stages if stage.posix for i in stage.instructions if i.kind == "run")
        return {id(run): shell.read(run.script) if run.script else shell.exec_form(run.words, run.span) for run in runs}

    # --- what chooses ----------------------------------------------------------------------------------------------

    @cached_property
    def made_for(self) -> frozenset[str]:
        """The architectures that the file's own name or folder speaks of: Dockerfile.arm64, docker/arm64/Dockerfile. With another
        system beside it, that is what is compiled for; this image is one of Linux."""
        parts = (part for part in self.source.path.parts[-2:] if not ELSEWHERE.search(part))
        return frozenset(found.arch for part in parts for found in find(part))

    def guard(self, stage: Stage) -> tuple[Guard, ...]:
        """What chooses a whole stage: the file's name, or a FROM that has a variable in the name."""
        guards = [Guard(self.made_for)] if self.made_for else []
        for one in self.file.line(stage):
            if one.name in self._chosen:
                named = frozenset(found.arch for found in find(one.name))
                guards.append(Guard(named or meant(re.split(r"[-_.]", one.name)[-1])))
        return tuple(guards)

    @cached_property
    def _chosen(self) -> frozenset[str]:
        """The names of stages that a FROM chooses by a variable in the name. One that is nothing but a variable chooses among stages
        that are called as architectures are; otherwise it may be any image."""
        alone = any(EXPANSION.fullmatch(stage.base.text) for stage in self.file.stages)
        return frozenset(
            stage.name
            for stage in self.file.stages
            if stage.name
            and (
                any(pattern.fullmatch(stage.name) for pattern in self._choosing)
                or (alone and any(found.word == stage.name for found in find(stage.name)))
            )
        )

    @cached_property
    def _choosing(self) -> list[re.Pattern[str]]:
        """How names of stages look that a FROM chooses by a variable in them."""
        bases = [stage.base.text for stage in self.file.stages if "$" in stage.base.text]
        images = [
            flag.text for s in self.file.stages for i in s.instructions if (flag := i.flag("from")) and "$" in flag.text
        ]
        told = [EXPANSION.split(text) for text in (*bases, *images)]
        return [re.compile(".+".join(map(re.escape, parts)), re.IGNORECASE) for parts in told if any(parts)]

    def is_stage(self, image: Piece) -> bool:
        """Whether an image with variables in its name may be a stage of this file."""
        pattern = re.compile(".*".join(map(re.escape, EXPANSION.split(image.text))), re.IGNORECASE)
        return "$" in image.text and any(pattern.fullmatch(stage.name) for stage in self.file.stages if stage.name)

    def filled(self, text: str) -> str:
        """The text with the defaults of global ARGs put in, as FROM reads it when nobody says otherwise."""
        outer = _pairs(self.file.before)
        for _ in range(3):  # a default may be made of others
            text = NAMED.sub(lambda found: outer[found[1]].piece.bare if found[1] in outer else found[0], text)
        return text

    def is_toolchain(self, stage: Stage) -> bool:
        """Whether a stage is made to compile with, for one target: it has cross compilers, and compiles no project, nor does one
        that stands on it."""
        return self._cross[stage.number] is not None and not self._compiling[stage.number]

    def targets(self, stage: Stage) -> frozenset[str]:
        """The architectures that a toolchain's compilers are for."""
        return (self._cross[stage.number] if self.is_toolchain(stage) else None) or frozenset()

    @cached_property
    def _cross(self) -> list[frozenset[str] | None]:
        """What the cross compilers of each stage, and of those below it, are for; None where there are none."""
        told: list[frozenset[str] | None] = []
        for stage in self.file.stages:
            below = told[stage.parent] if stage.parent is not None else None
            compilers = [match[0] for match in TOOLCHAIN.finditer(self._run(stage))]
            triples = (TRIPLE.search(compiler.partition("-")[2]) for compiler in compilers)
            own = frozenset(found.arch for match in triples if match for found in find(match[0]))
            has = compilers or any(PER_TARGET.match(name.text) for i in stage.instructions for name, _ in i.pairs)
            told.append(own | (below or frozenset()) if has else below)
        return told

    @cached_property
    def _compiling(self) -> list[bool]:
        """Whether a project is compiled in a stage, in one below it, or in one that stands on it."""
        told: list[bool] = []
        for stage in self.file.stages:
            below = stage.parent is not None and told[stage.parent]
            told.append(below or bool(COMPILES.search(self._run(stage))))
        for stage in reversed(self.file.stages):
            if stage.parent is not None and told[stage.number]:
                told[stage.parent] = True
        return told

    def _run(self, stage: Stage) -> str:
        """All that a build runs in a stage."""
        return " ".join(self._scripts[id(i)].text for i in stage.instructions if id(i) in self._scripts)

    # --- what variables hold ---------------------------------------------------------------------------------------

    def value(self, stage: Stage, script: Shell | None, name: str) -> Value | None:
        """The one text that a variable holds in a script; None where something chooses it, or nobody knows."""
        if script is not None:
            told = [a for a in script.assignments if a.name == name]
            if told or name in script.sets:
                plain = (
                    len(told) == 1 and not told[0].guards and told[0].values and not TABLE.match(told[0].values[0].text)
                )
                # A loop over files of one architecture takes that one's.
                alike = plain and len({frozenset(one.arch for one in words(value)) for value in told[0].values}) == 1
                return Value(told[0].values[0]) if alike else None
        for one in self.file.line(stage):
            if found := self._values[one.number].get(name):
                return found
        return None

    @cached_property
    def _values(self) -> list[dict[str, Value]]:
        """What ENV and ARG say, for each stage; a global ARG where the stage declares it."""
        outer = _pairs(self.file.before)
        told = []
        for stage in self.file.stages:
            inner = _pairs(stage.instructions)
            declared = {n.text for i in stage.instructions if i.kind == "arg" for n, value in i.pairs if value is None}
            told.append({name: outer[name] for name in declared if name in outer} | inner)
        return told


def _pairs(instructions: tuple[Instruction, ...]) -> dict[str, Value]:
    return {
        name.text: Value(value, instruction.kind == "arg")
        for instruction in instructions
        if instruction.kind in ("arg", "env")
        for name, value in instruction.pairs
        if value is not None
    }


def literal(text: str) -> str:
    """The text with blanks for what variables and commands put into it; as long as it was."""
    # The patterns of a `case` close parentheses that nobody opened, so these go first.
    for pattern in (CASE, EXPANSION):
        text = pattern.sub(lambda found: "\x01" * len(found[0]), text)
    return text


def words(piece: Piece) -> list[Found]:
    """The words for architectures that stand in a piece as they are."""
    return list(find(literal(piece.text)))


def names(piece: Piece) -> list[str]:
    """The variables that a piece is made of."""
    return NAME.findall(piece.text)
