"""`clean`: remove what buildlib has made."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from buildlib.cli.entry import command, open_workspace, task
from buildlib.core.errors import BuildError, UsageError
from buildlib.process.console import Console

if TYPE_CHECKING:
    from pathlib import Path

    from buildlib.process.clean import Area, Entry

# What is in the user's cache and can be made or downloaded again. `builders` is not: it has the state of running gateways.
CACHES = ("debs", "libc", "libraries", "qemu", "reproduce", "starts", "sysroots", "test_runner", "zig", "zigbuild")
SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}


@task(
    help={
        "dist": "dist/ alone: the directories of arches, manifest.json and SHA256SUMS",
        "cache": "the user's cache, which all workspaces share: std, system libraries, downloads",
        "older_than": "only what has not changed for this long, as in 12h, 30d, 8w",
    }
)
@command
def clean(c: Any, console: Console, dist: bool = False, cache: bool = False, older_than: str = "") -> int:
    """Remove what buildlib has made: dist/ and target/buildlib of this workspace.

    With --dist or --cache only that. What another command is using is left alone, and so is everything behind a symbolic link.
    """
    from buildlib.process import clean as cleaning

    age = _seconds(older_than)
    areas = [*(_of_workspace(c, console, dist_only=dist) if dist or not cache else ()), *(_of_cache() if cache else ())]
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
    if removed or not left:
        _show(console, removed, dry=c.config.run.dry)
    return 1 if left else 0


def _of_workspace(c: Any, console: Console, *, dist_only: bool) -> list[Area]:
    from buildlib.binaries import dist
    from buildlib.process.clean import Area

    context = open_workspace(c, console, scope="project")
    root, folder = context.workspace.root, context.dist
    # Other tools have a dist/ too, and their files may be in this one: only what the manifest lists is buildlib's.
    published = {entry["arch"] for entry in dist.read(folder)}
    names = (*sorted(published), "SHA256SUMS", dist.MANIFEST) if published else ()
    areas = [Area(title="dist", folder=folder, trusted=root, names=names)]
    if not dist_only:
        areas.append(Area(title="target", folder=context.workspace.target_dir / "buildlib", trusted=root))
    return areas


def _of_cache() -> list[Area]:
    from buildlib.machine.host import cache_folder
    from buildlib.process.clean import Area

    folder = cache_folder()
    return [Area(title="cache", folder=folder, trusted=folder.parent, names=CACHES, nested=True)]


def _seconds(age: str) -> int:
    """The seconds of an age such as 30d; 0 for none. UsageError for another text."""
    if not age:
        return 0
    match = re.fullmatch(r"([1-9]\d{0,4})([hdw])", age)
    if not match:
        raise UsageError(f"--older-than expects an age such as 12h, 30d or 8w, got {age!r}")
    return int(match[1]) * SECONDS[match[2]]


def _show(console: Console, entries: list[Entry], *, dry: bool) -> None:
    """Print what was removed, or what would be."""
    if not entries:
        console.line("nothing to remove")
        return
    today = time.time()
    rows = [
        (
            entry.area.title,
            _size(entry.size),
            f"{max(0, int((today - entry.changed) // SECONDS['d']))} d",
            str(entry.path),
        )
        for entry in entries
    ]
    console.table(("of", "size", "age", "path"), rows)
    total = _size(sum(entry.size for entry in entries))
    console.line(f"{'would remove' if dry else 'removed'} {total}")


def _size(count: int) -> str:
    from buildlib.report.tables import size

    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else size(count)
