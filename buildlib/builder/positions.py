"""Where a build of BuildKit is, in a few words, from a line of its plain progress. Pure."""

from __future__ import annotations

import re

# #12 [linux/amd64->arm64 builder 2/5] RUN cargo build; the platform and the name of the stage may be missing.
STEP = re.compile(r"#\d+ \[([^\]]* )?(\d+)/(\d+)\] ")
# What takes time on a slow network: #2 [linux/amd64 internal] load metadata for docker.io/library/debian:trixie-slim,
# #5 sha256:3b4d… 12.58MB / 29.13MB 0.4s, #6 transferring context: 41.30MB 2.1s, #15 pushing layers 2.1s. What is done is no news.
WORK = re.compile(
    r"#\d+ (?:\[[^\]]*internal\] (?P<load>load metadata for \S+)|sha256:[0-9a-f]+ (?P<layer>[\d.]+[kMGT]?B / [\d.]+[kMGT]?B)"
    r"|(?P<other>transferring context: [\d.]+[kMGT]?B|(?:exporting|pushing|sending|importing)(?: to)? [a-z]+\b|extracting\b))"
)


def position(line: str) -> str:
    """What the builder does, as in "linux/arm64 builder step 2/5"; "" for a line that does not say it."""
    if match := STEP.match(line):
        return f"{match[1] or ''}step {match[2]}/{match[3]}"
    match = None if line.endswith("done") else WORK.match(line)
    if not match:
        return ""
    return f"downloading a layer: {match['layer']}" if match["layer"] else match["load"] or match["other"]
