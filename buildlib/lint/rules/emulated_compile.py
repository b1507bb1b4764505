"""emulated-compile (BL008): a compiler in a stage for the target platform."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing import containerfile
from buildlib.lint.parsing.script import Command, ParsedScript
from buildlib.lint.parsing.source import Source

# Commands that compile; with the arguments for it, where others do something else.
COMPILERS = {
    "cargo": {"build", "install", "rustc", "zigbuild"}, "go": {"build", "install"}, "cmake": {"--build"}, "meson": {"compile"},
    "rustc": None, "gcc": None, "g++": None, "cc": None, "c++": None, "clang": None, "clang++": None, "make": None, "ninja": None,
}  # fmt: skip
# What BuildKit shows of a heredoc: its first line, and "..." in place of the others (summarizeHeredoc in dockerfile2llb).
HEREDOC = re.compile(r"(?P<flags>(?:--\S+\s+)*)<<-?[\"']?[\w.-]+[\"']?\s*\((?P<first>.*?)(?:\.\.\.)?\)\s*", re.DOTALL)
MAX_TEXT = 100_000  # characters of a RUN that are parsed; the commands of no Dockerfile known are that long


def check(analysis: Analysis) -> Iterator[Finding]:
    """Report the first compiler in each RUN of a stage for the target platform."""
    for stage, _, script in analysis.runs():
        ancestors = analysis.file.ancestry(stage)
        if not is_other_platform(ancestor.platform.text for ancestor in ancestors if ancestor.platform is not None):
            yield from check_script(analysis.source, script)


def check_script(source: Source, script: ParsedScript) -> Iterator[Finding]:
    """Report the first compiler in one RUN for the target platform."""
    compiler = first_compiler(script)
    if compiler:
        text = f"{compiler.name} runs on the target platform, under emulation unless the builder has that platform"
        yield make_finding(source, "emulated-compile", compiler.span, text)


def is_other_platform(platforms: Iterable[str]) -> bool:
    """Whether one of these platforms, of a stage and its ancestors, is not the target's: the build platform or a constant."""
    return any("TARGET" not in platform for platform in platforms)


def compiles(run_text: str) -> str:
    """The first compiler that a RUN starts, "" for none.

    `run_text` is one instruction, as in a Dockerfile or as BuildKit shows it, such as `RUN cargo build`.
    """
    keyword, _, command = run_text.strip()[:MAX_TEXT].removeprefix("ONBUILD ").partition(" ")
    if keyword.upper() != "RUN":
        return ""
    if heredoc := HEREDOC.fullmatch(command):
        command = f"{heredoc['flags']}{heredoc['first']}"
    text = f"FROM scratch\nRUN {command}\n".encode("utf-8", "replace")
    analysis = Analysis(containerfile.read(Source(Path("Dockerfile"), text)))
    compilers = (first_compiler(script) for _, _, script in analysis.runs())
    return next((compiler.name for compiler in compilers if compiler), "")


def first_compiler(script: ParsedScript) -> Command | None:
    """The first command of a script that compiles, None without one."""
    return next((command for command in script.commands if _compiles(command)), None)


def _compiles(command: Command) -> bool:
    if command.name not in COMPILERS:
        return False
    verbs = COMPILERS[command.name]
    words = [word.bare for word in command.words[1:]]
    if command.name == "make" and words and words[0] in ("install", "clean"):
        return False
    return verbs is None or bool(verbs & set(words))
