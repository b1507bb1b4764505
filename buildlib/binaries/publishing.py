"""Publish gated files to dist/, with its manifest and SHA256SUMS: all of them, or none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from buildlib import __version__
from buildlib.binaries import dist
from buildlib.binaries.dist import Entry
from buildlib.core.plan import AtomicUpdate, Write
from buildlib.process.context import Context


def publish(context: Context, new: Iterable[dist.Entry], copies: Mapping[str, Path]) -> None:
    """Add gated binaries to dist/, beside the existing ones. `copies` maps an entry's path to the compiled file."""
    folder = context.dist
    with context.run.locked(folder, f"waiting for another command that writes {folder}"):
        old = [entry for entry in dist.read(folder) if (folder / entry["path"]).is_file()]
        context.run(update(folder, context.workspace.root / "Cargo.toml", old, new, copies))


def update(
    folder: Path, manifest: Path, old: Iterable[Entry], new: Iterable[Entry], copies: Mapping[str, Path]
) -> AtomicUpdate:
    """Return the update that adds `new` to dist/. Entries of the same arch and name are replaced, the others stay.

    A signature of other digests is removed.

    `copies` maps an entry's path to the compiled file, for those whose bytes are not in dist/ yet. The files get
    times before that of `manifest`, the workspace's Cargo.toml: cargo runs a build script without rerun-if-changed again when
    any file of the package is newer than its last run, and in many workspaces dist/ is inside the package.
    """
    new, old = list(new), list(old)
    replaced = {entry["path"] for entry in new}
    merged = sorted([*(e for e in old if e["path"] not in replaced), *new], key=lambda e: e["path"])
    kept = {file["path"] for e in merged for file in dist.all_files_of(e)}
    text = json.dumps({"schema": dist.SCHEMA, "buildlib": __version__, "binaries": merged}, indent=2) + "\n"
    sums = _sums(merged)
    removes = [folder / one["path"] for e in old for one in dist.all_files_of(e)[1:] if one["path"] not in kept]
    if sums != _sums(sorted(old, key=lambda e: e["path"])):
        removes.append(folder / dist.SUMS_BUNDLE)
    return AtomicUpdate(
        copies=tuple((source, folder / path) for path, source in copies.items()),
        as_old_as=manifest,
        writes=(Write(path=folder / dist.MANIFEST, text=text), Write(path=folder / dist.SUMS, text=sums)),
        removes=tuple(removes),
    )


def _sums(merged: Iterable[Entry]) -> str:
    """Return SHA256SUMS, in the format of sha256sum."""
    return "".join(f"{file['sha256']}  {file['path']}\n" for e in merged for file in dist.all_files_of(e))
