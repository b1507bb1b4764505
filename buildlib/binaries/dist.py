"""dist/: one directory per arch, manifest.json with the facts of every binary, SHA256SUMS.

The manifest's schema is in docs/manifest.md. Pure: the runner writes what `publish` returns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from buildlib import __version__
from buildlib.binaries.elf import Facts
from buildlib.core.plan import AtomicUpdate, Write
from buildlib.rust.cargo import Build

SCHEMA = 1
MANIFEST = "manifest.json"


class ElfFacts(TypedDict):
    """The ELF facts of a binary (`elf.Facts`)."""

    machine: int
    bits: int
    little: bool
    flags: int
    kind: str
    loader: str
    glibc: str
    needed: list[str]
    rpath: str
    arm: int


class Entry(TypedDict):
    """One binary in the manifest. `floor` is the minimum glibc version, `started` the flag that it was started with."""

    arch: str
    binary: str
    path: str
    target: str
    backend: str
    floor: str
    toolchain: str
    profile: str
    size: int
    sha256: str
    facts: ElfFacts
    started: str
    seconds: float


class Manifest(TypedDict):
    """dist/manifest.json."""

    schema: int
    buildlib: str
    binaries: list[Entry]


def entries(text: str) -> list[Entry]:
    """The binaries that a manifest lists; none for a text that is not a manifest, or one of another schema."""
    try:
        manifest = json.loads(text)
        listed = list(manifest["binaries"]) if manifest["schema"] == SCHEMA else []
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [entry for entry in map(_checked, listed) if entry]


def _checked(entry: Any) -> Entry | None:
    """An entry of a manifest, which anybody may have edited; None if it lacks something, or leaves its directory."""
    try:
        checked = msgspec.convert(entry, Entry)
    except msgspec.ValidationError:
        return None
    parts = checked["path"].split("/")
    return checked if checked["path"] == f"{checked['arch']}/{checked['binary']}" and not {"..", "."} & set(parts) else None


def entry(build: Build, binary: str, profile: str, facts: Facts, started: str, seconds: float) -> Entry:
    """One binary's entry. `started` is the flag that it was started with, "" where this machine cannot start it."""
    elf = asdict(facts)
    size, sha256 = elf.pop("size"), elf.pop("sha256")
    return {
        "arch": build.target.name,
        "binary": binary,
        "path": f"{build.target.name}/{binary}",
        "target": build.target.triple,
        "backend": build.backend.name,
        "floor": build.backend.minimum_glibc,
        "toolchain": str(build.compiler) if build.compiler else "cross",
        "profile": profile,
        "size": size,
        "sha256": sha256,
        "facts": elf,
        "started": started,
        "seconds": round(seconds, 1),
    }


def unchanged(old: Iterable[Entry], build: Build, binary: str, sha256: str) -> Entry | None:
    """The entry of the same bytes, if they passed the gate for the same arch and minimum glibc before."""
    same = {"arch": build.target.name, "binary": binary, "sha256": sha256, "floor": build.backend.minimum_glibc}
    return next((e for e in old if all(e.get(key) == value for key, value in same.items())), None)


def publish(
    dist: Path, manifest: Path, old: Iterable[Entry], new: Iterable[Entry], copies: Mapping[str, Path]
) -> AtomicUpdate:
    """The update that makes `new` part of dist/: entries of other binaries stay, those of the same arch and name are replaced.

    `copies` maps an entry's path to the compiled file, for those whose bytes are not in dist/ yet. The files get the
    modification time of `manifest`, the workspace's Cargo.toml: cargo runs a build script without rerun-if-changed again when
    any file of the package is newer than its last run, and in many workspaces dist/ is inside the package.
    """
    new = list(new)
    replaced = {entry["path"] for entry in new}
    merged = sorted([*(e for e in old if e["path"] not in replaced), *new], key=lambda e: e["path"])
    text = json.dumps({"schema": SCHEMA, "buildlib": __version__, "binaries": merged}, indent=2) + "\n"
    sums = "".join(f"{e['sha256']}  {e['path']}\n" for e in merged)
    return AtomicUpdate(
        copies=tuple((source, dist / path) for path, source in copies.items()),
        as_old_as=manifest,
        writes=(Write(path=dist / MANIFEST, text=text), Write(path=dist / "SHA256SUMS", text=sums)),
    )
