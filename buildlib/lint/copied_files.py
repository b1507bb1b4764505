"""Files of another stage with an architecture in their names, which nothing in that stage says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from buildlib.lint.analysis import Analysis
from buildlib.lint.base_images import constant_platform
from buildlib.lint.download_names import ARCH_PATH, DATA, download_words
from buildlib.lint.parsing.arch_words import TRIPLE, ArchWord, find_arch_words
from buildlib.lint.parsing.containerfile import Instruction, Piece, Stage
from buildlib.lint.parsing.script import Guard

PUT = frozenset({"cp", "mv", "install", "ln", "rsync"})
Found = tuple[Piece, tuple[ArchWord, ...], tuple[Guard, ...]]


def files_of_stage(analysis: Analysis, stage: Stage, instruction: Instruction) -> Iterator[Found]:
    """What is taken from a stage whose build has a fixed target that only its output names: pkg's dist/app-linux-x64.

    Where a command, a variable or a file of that stage names the architecture too, other rules decide about it there.
    """
    for name, piece, guards in _taken(analysis, stage, instruction):
        words = tuple(download_words(piece))
        source = _stage(analysis, name) if len({word.arch for word in words}) == 1 else None
        if source is None:
            continue
        if TRIPLE.search(piece.text) or ARCH_PATH.search(piece.text) or DATA.search(piece.bare):
            continue
        is_selected = analysis.stage_guards(source) or constant_platform(analysis.file.roots[source.number])
        named = (_arches(analysis)[one.number] for one in analysis.file.ancestry(source))
        if not (is_selected or analysis.is_toolchain(source) or any(words[0].arch in arches for arches in named)):
            yield piece, words, guards


def _taken(
    analysis: Analysis, stage: Stage, instruction: Instruction
) -> Iterator[tuple[str, Piece, tuple[Guard, ...]]]:
    """What COPY --from takes, and what commands copy from a mount, with the name or number of the stage."""
    source = instruction.flag("from") if instruction.kind == "copy" else None
    if source is not None:
        yield from ((source.bare, piece, ()) for piece in instruction.words[:-1])
    mounts = [flag.text for flag in instruction.flags if flag.text.startswith("--mount=") and "from=" in flag.text]
    script = analysis.script(stage, instruction) if mounts else None
    for mount in mounts if script else ():
        options = dict(part.partition("=")[::2] for part in mount.removeprefix("--mount=").split(","))
        target = options.get("target") or options.get("dst") or options.get("destination") or "/"
        for command in script.commands if script else ():
            for piece in command.words[1:-1] if command.name in PUT else ():
                if piece.bare.startswith(target):
                    yield options.get("from", ""), piece, command.guards


def _stage(analysis: Analysis, name: str) -> Stage | None:
    """The stage with this name or number."""
    return next((one for one in analysis.file.stages if name.lower() in (one.name.lower(), str(one.number))), None)


@lru_cache(maxsize=1)  # all instructions of a file ask
def _arches(analysis: Analysis) -> list[set[str]]:
    """The architectures that are written out anywhere in each stage."""
    instructions = ((stage.head, *stage.instructions) for stage in analysis.file.stages)
    texts = ("\n".join(analysis.source.text_at(one.span) for one in several) for several in instructions)
    return [{word.arch for word in find_arch_words(text)} for text in texts]
