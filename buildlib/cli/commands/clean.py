"""`clean`: remove what buildlib has made."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from buildlib.cli.entry import JSON, command, open_workspace, task
from buildlib.core.errors import BuildError, UsageError
from buildlib.process.console import Console

if TYPE_CHECKING:
    from pathlib import Path

    from buildlib.binaries.clean import Entry

SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}


@task(
    help={
        "dist": "dist/ alone: the directories of arches, manifest.json and SHA256SUMS",
        "cache": "the user's cache, which all workspaces share: std, system libraries, downloads",
        "older_than": "only what has not changed for this long, as in 12h, 30d, 8w",
        "json": JSON,
    }
)
@command
def clean(
    c: Any, console: Console, dist: bool = False, cache: bool = False, older_than: str = "", json: bool = False
) -> int:
    """Remove what buildlib has made: dist/ and target/buildlib of this workspace.

    With --dist or --cache only that. What another command is using is left alone, and so is everything behind a symbolic link.
    """
    from buildlib.binaries import clean as cleaning
    from buildlib.binaries import clean_areas
    from buildlib.report import tables
    from buildlib.usage import next_command

    age = _seconds(older_than)
    context = open_workspace(c, console, scope="project") if dist or not cache else None
    areas = [
        *(clean_areas.of_workspace(context, dist_only=dist) if context else ()),
        *(clean_areas.of_cache() if cache else ()),
    ]
    oldest, entries, left = time.time() - age, list["Entry"](), dict["Path", str]()
    for area in areas:
        try:
            entries += (entry for entry in cleaning.entries(area) if not age or entry.changed < oldest)
        except BuildError as error:
            left[area.folder] = error.message
    if not c.config.run.dry:
        left |= {entry.path: why for entry in entries if (why := cleaning.remove(entry))}
        for area in areas:
            cleaning.remove_empty(area)
    for path, why in left.items():
        console.warn(f"{path}: {why}")
    removed = [entry for entry in entries if entry.path not in left]
    tables.clean(console, removed, left, dry=c.config.run.dry, as_json=json)
    if not left:
        words = ["build"] if context and context.workspace.components else []
        next_command.show(console, words, dry=c.config.run.dry and bool(removed))
    return 1 if left else 0


def _seconds(age: str) -> int:
    """The seconds of an age such as 30d; 0 for none. UsageError for another text."""
    if not age:
        return 0
    match = re.fullmatch(r"([1-9]\d{0,4})([hdw])", age)
    if not match:
        raise UsageError(f"--older-than expects an age such as 12h, 30d or 8w, got {age!r}")
    return int(match[1]) * SECONDS[match[2]]
