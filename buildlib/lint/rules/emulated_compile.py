"""emulated-compile (BL008): a compiler in a stage for the target platform."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing import containerfile
from buildlib.lint.parsing.arch_words import machine_of
from buildlib.lint.parsing.script import Command, ParsedScript
from buildlib.lint.parsing.source import Source

# Commands that compile for one machine; with the arguments for it, where others do something else. Not among them are compilers
# whose output is for every machine (Java, .NET, TypeScript), and installers that may compile, which have no option for a target.
COMPILERS = {
    "cargo": {"build", "b", "install", "rustc", "zigbuild", "cook", "cinstall", "cbuild"}, "go": {"build", "install"},
    "cmake": {"--build"}, "meson": {"compile"}, "bazel": {"build"}, "bazelisk": {"build"}, "swift": {"build"},
    "zig": {"build", "build-exe"}, "cabal": {"build", "v2-build", "install"}, "stack": {"build", "install"}, "dune": {"build"},
    "crystal": {"build"}, "shards": {"build"}, "nim": {"c", "cpp"}, "nimble": {"build"}, "dub": {"build"}, "native-image": None,
    "rustc": None, "gcc": None, "g++": None, "cc": None, "c++": None, "clang": None, "clang++": None, "gfortran": None, "ghc": None,
    "make": None, "gmake": None, "ninja": None, "samu": None, "scons": None,
}  # fmt: skip
MAKE = ("make", "gmake", "ninja", "samu")
NO_COMPILATION = ("install", "clean", "distclean", "mrproper", "uninstall")  # as the first goal of make
MAKE_OPTIONS = ("-C", "--directory", "-f", "--file", "-I", "-o", "-W")  # with a value in the next word
CHANGES_DIRECTORY = ("cd", "pushd")
CONFIGURES = re.compile(r"(?:auto)?configure|Configure|cmake|autogen\.sh|qmake\d*|autoreconf", re.ASCII)
ASKS = ("--version", "-v", "-V", "-dumpmachine", "-dumpversion", "-print-multiarch", "--help")
# What BuildKit shows of a heredoc: its first line, and "..." in place of the others (summarizeHeredoc in dockerfile2llb).
HEREDOC = re.compile(r"(?P<flags>(?:--\S+\s+)*)<<-?[\"']?[\w.-]+[\"']?\s*\((?P<first>.*?)(?:\.\.\.)?\)\s*", re.DOTALL)
MAX_TEXT = 100_000  # characters of a RUN that are parsed; the commands of no Dockerfile known are that long


def check(analysis: Analysis) -> Iterator[Finding]:
    """Report the compilers in the stages for the target platform; none in a file for one architecture, where such a machine builds."""
    if machine_of(analysis.source.arches):
        return
    platforms = _platforms(analysis)
    for stage, _, script in analysis.runs():
        if not is_other_platform(platforms[stage.number]):
            yield from check_script(analysis.source, script)


def _platforms(analysis: Analysis) -> list[frozenset[str]]:
    """For each stage, the platforms that are written in its FROM and in those of the stages that it is based on.

    Of stages that `FROM base-$TARGETARCH` chooses from, only the build platform counts, and only if all are for that: with
    `FROM --platform=linux/arm64 … AS base-arm64`, each is for its own target.
    """
    platforms: list[frozenset[str]] = []
    for stage in analysis.file.stages:
        of_parents = [platforms[number] for number in analysis.possible_parents(stage)]
        if stage.parent is None and not all("BUILDPLATFORM" in " ".join(texts) for texts in of_parents):
            of_parents = []
        own = frozenset({stage.platform.text}) if stage.platform else frozenset()
        platforms.append(own.union(*of_parents))
    return platforms


def check_script(source: Source, script: ParsedScript) -> Iterator[Finding]:
    """Report the first compiler in one RUN for the target platform, and the first in each directory that it changes to after that."""
    is_new = True
    compilers = {command.span for command in _compilers(script)}
    for command in script.commands:
        is_new |= command.name in CHANGES_DIRECTORY
        if not is_new or command.span not in compilers:
            continue
        is_new = False
        text = f"{command.name} runs on the target platform, under emulation unless the builder has that platform"
        yield make_finding(source, "emulated-compile", command.span, text)


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
    return next(_compilers(script), None)


def _compilers(script: ParsedScript) -> Iterator[Command]:
    """The commands that compile. `make install` does after ./configure; elsewhere it copies what another RUN has compiled."""
    is_configured = False
    for command in script.commands:
        is_configured |= bool(CONFIGURES.fullmatch(command.name))
        if _compiles(command, is_configured=is_configured):
            is_configured = False
            yield command


def _compiles(command: Command, *, is_configured: bool) -> bool:
    if command.name not in COMPILERS:
        return False
    verbs = COMPILERS[command.name]
    words = [word.bare for word in command.words[1:]]
    if command.name in MAKE and (goal := next(_goals(words), "")) in NO_COMPILATION:
        return is_configured and goal == "install"
    if words[:1] and words[0] in ASKS:
        return False
    return verbs is None or bool(verbs & set(words))


def _goals(words: list[str]) -> Iterator[str]:
    """The goals in the arguments of make, without the values of its options and the variables."""
    for before, word in pairwise(["", *words]):
        if not word.startswith("-") and not word.isdecimal() and "=" not in word and before not in MAKE_OPTIONS:
            yield word
