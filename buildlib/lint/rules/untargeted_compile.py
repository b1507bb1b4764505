"""untargeted-compile (BL015): a stage for the build platform compiles for that platform, and the image gets the product."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.containerfile import Stage
from buildlib.lint.parsing.script import Command

COMPILERS = {"cargo": {"build", "install", "rustc", "b"}, "go": {"build", "install"}, "rustc": None}
# Whatever chooses the target: BuildKit's arguments, cargo's and rustc's --target, Go's variables, and a cargo alias or a wrapper
# that does so (tonistiigi/xx). A file that is not read here, such as .cargo/config.toml, may do it as well; it is rare with a
# build platform, because the file would then name one target for all.
CHOOSES_TARGET = re.compile(
    r"\bTARGET(?:PLATFORM|ARCH|VARIANT|OS)\b|--target(?![\w-])|\bCARGO_BUILD_TARGET\b|\bGO(?:ARCH|ARM)\b|\bxx-|\bzigbuild\b"
)
# Where products are without another word: cargo's target directory, and the directories of `cargo install` and `go install`.
PRODUCTS = re.compile(r"/(?:release|debug)/|/target/|cargo/bin\b|/go/bin\b")


def check(analysis: Analysis) -> Iterator[Finding]:
    """Report the first compiler of each stage for the build platform whose product another platform's image gets."""
    compilers: dict[int, list[Command]] = defaultdict(list)
    for stage, _, script in analysis.runs():
        if _is_for_build_platform(analysis, stage):
            compilers[stage.number] += filter(_compiles, script.commands)
    copies = _copies(analysis) if any(compilers.values()) else {}
    for number, commands in compilers.items():
        stage = analysis.file.stages[number]
        paths = copies.get(stage.name.lower(), []) + copies.get(str(number), [])
        if commands and any(_is_product(path, commands) for path in paths) and not _chooses_target(analysis, stage):
            text = f"{commands[0].name} compiles for the build platform, and every platform's image gets that program"
            yield make_finding(analysis.source, "untargeted-compile", commands[0].span, text)


def _copies(analysis: Analysis) -> dict[str, list[str]]:
    """What stages for another platform copy: the paths, by the name or number of the stage they are from."""
    copies: dict[str, list[str]] = defaultdict(list)
    for stage in analysis.file.stages:
        for instruction in stage.instructions:
            source = instruction.flag("from") if instruction.kind == "copy" else None
            if source is not None and not _is_for_build_platform(analysis, stage):
                copies[source.bare.lower()] += (word.bare for word in instruction.words[:-1])
    return copies


def _is_for_build_platform(analysis: Analysis, stage: Stage) -> bool:
    return any(
        one.platform is not None and "BUILDPLATFORM" in one.platform.text for one in analysis.file.ancestry(stage)
    )


def _chooses_target(analysis: Analysis, stage: Stage) -> bool:
    """Whether something in the stage or its ancestors may choose a target. A declaration of an ARG alone chooses nothing."""
    for one in analysis.file.ancestry(stage):
        for instruction in one.instructions:
            if instruction.kind == "arg" and all(value is None for _, value in instruction.pairs):
                continue
            text = analysis.source.text[instruction.span.start : instruction.span.end].decode("utf-8", "replace")
            if CHOOSES_TARGET.search(text):
                return True
    return False


def _compiles(command: Command) -> bool:
    if command.name not in COMPILERS:
        return False
    verbs = COMPILERS[command.name]
    return verbs is None or bool(verbs & {word.bare for word in command.words[1:3]})


def _is_product(path: str, compilers: Iterable[Command]) -> bool:
    """Whether a path is of a file that one of the commands names, or where products are."""
    words = {word.bare for command in compilers for word in command.words}
    below = any(word.startswith("/") and path.startswith(word) for word in words)
    return below or path in words or PRODUCTS.search(path) is not None
