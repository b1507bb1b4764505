"""emulated-compile (BL008): a compiler in a stage for the target platform."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.containerfile import Stage
from buildlib.lint.parsing.script import Command

# Commands that compile; with the arguments for it, where others do something else.
COMPILERS = {
    "cargo": {"build", "install", "rustc", "zigbuild"}, "go": {"build", "install"}, "cmake": {"--build"}, "meson": {"compile"},
    "rustc": None, "gcc": None, "g++": None, "cc": None, "c++": None, "clang": None, "clang++": None, "make": None, "ninja": None,
}  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Report the first compiler in each RUN of a stage for the target platform."""
    for stage, _, script in analysis.runs():
        if _has_other_platform(analysis, stage):
            continue
        compiler = next((command for command in script.commands if _compiles(command)), None)
        if compiler:
            text = f"{compiler.name} runs on the target platform, under emulation unless the builder has that platform"
            yield make_finding(analysis.source, "emulated-compile", compiler.span, text)


def _has_other_platform(analysis: Analysis, stage: Stage) -> bool:
    """Whether the stage or an ancestor names a platform other than the target's: the build platform or a constant."""
    platforms = (ancestor.platform for ancestor in analysis.file.ancestry(stage))
    return any(platform is not None and "TARGET" not in platform.text for platform in platforms)


def _compiles(command: Command) -> bool:
    if command.name not in COMPILERS:
        return False
    verbs = COMPILERS[command.name]
    words = [word.bare for word in command.words[1:]]
    if command.name == "make" and words and words[0] in ("install", "clean"):
        return False
    return verbs is None or bool(verbs & set(words))
