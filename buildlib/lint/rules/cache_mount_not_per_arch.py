"""cache-mount-not-per-arch (BL010): a cache mount that builds for several platforms share."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding, make_finding

# Directories that concurrent builds may corrupt: the registry and target directories of cargo, and those of apt.
UNSAFE_DIRECTORY = re.compile(r"/(?:registry|\.cargo|cargo|target)(?:/|$)|/git(?:/db)?/?$|/var/(?:cache|lib)/apt")
PLATFORM = re.compile(r"\$\{?(?:TARGET|BUILD)(?:ARCH|PLATFORM)")


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the cache mounts of each RUN."""
    for _, instruction, _ in analysis.runs():
        for flag in instruction.flags:
            options = dict(part.partition("=")[::2] for part in flag.text.removeprefix("--mount=").split(","))
            directory = options.get("target") or options.get("dst") or options.get("destination") or ""
            if options.get("type") != "cache" or not UNSAFE_DIRECTORY.search(directory):
                continue
            is_per_platform = PLATFORM.search(options.get("id", "") + directory)
            if not is_per_platform and options.get("sharing", "shared") not in ("locked", "private"):
                text = f"the cache {directory} is shared by all platforms"
                yield make_finding(analysis.source, "cache-mount-not-per-arch", flag.span, text)
