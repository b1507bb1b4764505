"""cache-mount-not-per-arch (BL010): a cache mount that builds for several platforms share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import join

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.containerfile import Instruction, Stage

# Directories that concurrent builds may corrupt: the registry and target directories of cargo, and those of apt.
UNSAFE_DIRECTORY = re.compile(r"/(?:registry|\.cargo|cargo|target)(?:/|$)|/git(?:/db)?/?$|/var/(?:cache|lib)/apt")
PLATFORM = re.compile(r"\$\{?(?:TARGET|BUILD)(?:ARCH|PLATFORM)")


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the cache mounts of each RUN."""
    for stage, instruction, _ in analysis.runs():
        for flag in instruction.flags:
            options = dict(part.partition("=")[::2] for part in flag.text.removeprefix("--mount=").split(","))
            directory = options.get("target") or options.get("dst") or options.get("destination") or ""
            if options.get("type") != "cache" or not UNSAFE_DIRECTORY.search(
                _absolute(analysis, stage, instruction, directory)
            ):
                continue
            is_per_platform = PLATFORM.search(options.get("id", "") + directory)
            if not is_per_platform and options.get("sharing", "shared") not in ("locked", "private"):
                text = f"the cache {directory} is shared by all platforms"
                yield make_finding(analysis.source, "cache-mount-not-per-arch", flag.span, text)


def _absolute(analysis: Analysis, stage: Stage, run: Instruction, directory: str) -> str:
    """The directory as BuildKit mounts it: one that is not absolute is below the WORKDIR."""
    if not directory or directory.startswith(("/", "$")):
        return directory
    workdir = "/"
    for ancestor in reversed(list(analysis.file.ancestry(stage))):
        for instruction in ancestor.instructions:
            if instruction is run:
                break
            if instruction.kind == "workdir" and instruction.words:
                workdir = join(workdir, instruction.words[0].bare)
    return join(workdir, directory)
