"""Compilers that run under emulation, and caches that several platforms write into."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.analysis import Look
from buildlib.lint.finding import Finding, found
from buildlib.lint.parsing.containerfile import Stage
from buildlib.lint.parsing.script import Command

COMPILERS = {
    "cargo": {"build", "install", "rustc", "zigbuild"}, "go": {"build", "install"}, "cmake": {"--build"}, "meson": {"compile"},
    "rustc": None, "gcc": None, "g++": None, "cc": None, "c++": None, "clang": None, "clang++": None, "make": None, "ninja": None,
}  # fmt: skip
# What builds for several platforms write at the same time, and may spoil: registries and target folders of cargo's, apt's.
SHARED = re.compile(r"/(?:registry|\.cargo|cargo|target)(?:/|$)|/git(?:/db)?/?$|/var/(?:cache|lib)/apt")


def check(look: Look) -> Iterator[Finding]:
    """emulated-compile and cache-mount-not-per-arch."""
    for stage, instruction, script in look.runs():
        if not _is_of_builder(look, stage):
            compiler = next((command for command in script.commands if _compiles(command)), None)
            if compiler:
                text = f"{compiler.name} runs on the target platform, which is emulated wherever the builder is another"
                yield found(look.source, "emulated-compile", compiler.span, text)
        for flag in instruction.flags:
            told = dict(part.partition("=")[::2] for part in flag.text.removeprefix("--mount=").split(","))
            place = told.get("target") or told.get("dst") or told.get("destination") or ""
            own = re.search(r"\$\{?(?:TARGET|BUILD)(?:ARCH|PLATFORM)", told.get("id", "") + place)
            locked = told.get("sharing", "shared") in ("locked", "private")
            if told.get("type") == "cache" and SHARED.search(place) and not own and not locked:
                yield found(look.source, "cache-mount-not-per-arch", flag.span, f"{place} is one for all platforms")


def _is_of_builder(look: Look, stage: Stage) -> bool:
    """Whether the stage runs on the platform that builds: it says so, or one below it, or a platform is written out."""
    return any(one.platform is not None and "TARGET" not in one.platform.text for one in look.file.line(stage))


def _compiles(command: Command) -> bool:
    verbs = COMPILERS.get(command.name, set())
    words = [word.bare for word in command.words[1:]]
    if command.name == "make" and words and words[0] in ("install", "clean"):
        return False
    return command.name in COMPILERS and (verbs is None or bool(verbs & set(words)))
