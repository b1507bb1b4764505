"""dist/: one folder an arch, manifest.json with what is known of every binary, SHA256SUMS.

The manifest's schema is in docs/manifest.md. Pure: the runner writes what `publish` returns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from buildlib import __version__
from buildlib.artifacts import Facts
from buildlib.cargo import Build
from buildlib.plan import Together, Write

SCHEMA = 1
Entry = Mapping[str, Any]


def entries(text: str) -> list[Entry]:
    """The binaries that a manifest tells of; none for a text that is no manifest of ours."""
    try:
        told = json.loads(text)
        return list(told["binaries"]) if told["schema"] == SCHEMA else []
    except (ValueError, KeyError, TypeError):
        return []


def entry(build: Build, binary: str, profile: str, facts: Facts, started: str, seconds: float) -> Entry:
    """One binary's lines in the manifest. `started` is what was run to see it start, "" when nothing here could."""
    elf = asdict(facts)
    size, sha256 = elf.pop("size"), elf.pop("sha256")
    return {
        "arch": build.target.name,
        "binary": binary,
        "path": f"{build.target.name}/{binary}",
        "target": build.target.triple,
        "backend": build.backend.name,
        "floor": build.backend.floor,
        "toolchain": str(build.chosen) if build.chosen else "cross",
        "profile": profile,
        "size": size,
        "sha256": sha256,
        "facts": elf,
        "started": started,
        "seconds": round(seconds, 1),
    }


def unchanged(old: Iterable[Entry], build: Build, binary: str, sha256: str) -> Entry | None:
    """The entry of the very same bytes that passed the gate under the same terms before."""
    same = {"arch": build.target.name, "binary": binary, "sha256": sha256, "floor": build.backend.floor}
    return next((e for e in old if all(e.get(key) == value for key, value in same.items())), None)


def publish(
    dist: Path, manifest: Path, old: Iterable[Entry], new: Iterable[Entry], copies: Mapping[str, Path]
) -> Together:
    """What makes `new` part of dist/: entries of other binaries stay, those of the same arch and name are replaced.

    `copies` maps an entry's path to the compiled file, for those whose bytes are not in dist/ yet. The files are as
    old as `manifest`, the workspace's Cargo.toml: cargo runs a build script without rerun-if-changed again when any
    file of the package is newer than its last run, and dist/ lies in the package of many a workspace.
    """
    new = list(new)
    replaced = {entry["path"] for entry in new}
    merged = sorted([*(e for e in old if e["path"] not in replaced), *new], key=lambda e: e["path"])
    told = json.dumps({"schema": SCHEMA, "buildlib": __version__, "binaries": merged}, indent=2) + "\n"
    sums = "".join(f"{e['sha256']}  {e['path']}\n" for e in merged)
    return Together(
        copies=tuple((source, dist / path) for path, source in copies.items()),
        as_old_as=manifest,
        writes=(Write(path=dist / "manifest.json", text=told), Write(path=dist / "SHA256SUMS", text=sums)),
    )
