"""Files to which commands of a Dockerfile give a name."""

from __future__ import annotations

from itertools import pairwise

from buildlib.lint.analysis import Analysis

OUTPUT_FLAGS = frozenset({"-o", "--output", "-O", "--out"})


def is_made_here(analysis: Analysis, path: str) -> bool:
    """Whether a command of the file gives a file this name, as -o or as the last word of cp, mv and the like do."""
    name = path.rpartition("/")[2]
    for stage in analysis.file.stages:
        for instruction in stage.instructions:
            if instruction.kind in ("copy", "add") and instruction.words and instruction.words[-1].bare.endswith(name):
                return True
            script = analysis.script(stage, instruction)
            for command in script.commands if script else ():
                words = [word.bare for word in command.words]
                outputs = [after for flag, after in pairwise(words) if flag in OUTPUT_FLAGS]
                if command.name in ("cp", "mv", "ln", "install"):
                    outputs.append(words[-1])
                if any(output.endswith(name) for output in outputs):
                    return True
    return False
