"""The crates that are linked into a program or library, with their sources, licences and checksums.

Cargo's unit graph says what is compiled for the target; `Cargo.lock` alone has every crate of every target and feature. `cargo
metadata` knows licences too, but downloads what any target and test needs: here they are read from the manifests, which cargo has
unpacked anyway.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from buildlib.crates.graph import package_id

Unit = Mapping[str, Any]
CRATES_IO = ("registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crate:
    """One linked crate. `id` is cargo's package ID, and `depends_on` are those of the crates that it links directly.

    `source` is as in Cargo.lock, "" for a path; `checksum` is the SHA-256 of the package in its registry, "" for others; `licence` is
    an SPDX expression as the package states it, "" if it states none.
    """

    id: str
    name: str
    version: str
    source: str = ""
    licence: str = ""
    checksum: str = ""
    depends_on: tuple[str, ...] = ()


def linked(graph: Mapping[str, Any], name: str, kind: str, lock: str) -> tuple[Crate, ...]:
    """The crates of the file `name`, its own first, the others by name and version; empty if cargo makes no such file.

    `graph` is cargo's unit graph, `kind` that of cargo's target: bin, example, cdylib or staticlib. Reads the manifests of the crates.
    """
    units: Sequence[Unit] = graph["units"]
    roots = [index for index in graph["roots"] if _makes(units[index], name, kind)]
    own = {units[index]["pkg_id"] for index in roots}
    below: dict[str, set[str]] = {}
    sources: dict[str, Path] = {}
    for index in _reached(units, roots):
        id = units[index]["pkg_id"]
        sources[id] = Path(units[index]["target"]["src_path"])
        below.setdefault(id, set()).update(units[other]["pkg_id"] for other in _links(units, units[index]))
    locked = _locked(lock)
    crates = [_crate(id, below[id] - {id}, sources[id], locked) for id in below]
    return tuple(sorted(crates, key=lambda crate: (crate.id not in own, crate.name, crate.version, crate.source)))


def _makes(unit: Unit, name: str, kind: str) -> bool:
    """Whether a unit makes the file `name` of this kind."""
    target = unit["target"]
    if unit["mode"] != "build":
        return False
    if kind in ("bin", "example"):  # a program: the kind of an example that is a library is that of the library
        return bool(target["kind"] == [kind] and target["name"] == name)
    stem = name.removeprefix("lib").rpartition(".")[0]
    return bool({"cdylib", "staticlib"} & set(target["crate_types"]) and target["name"].replace("-", "_") == stem)


def _links(units: Sequence[Unit], unit: Unit) -> Iterator[int]:
    """What is linked into a unit directly. Procedural macros and build scripts run on the machine that compiles."""
    for dependency in unit["dependencies"]:
        other = units[dependency["index"]]
        if other["mode"] == "build" and other["target"]["kind"] not in (["proc-macro"], ["custom-build"]):
            yield dependency["index"]


def _reached(units: Sequence[Unit], roots: Sequence[int]) -> set[int]:
    seen: set[int] = set()
    queue = list(roots)
    while queue:
        index = queue.pop()
        if index not in seen:
            seen.add(index)
            queue.extend(_links(units, units[index]))
    return seen


def _locked(lock: str) -> dict[tuple[str, str, str], tuple[str, str]]:
    """(Source, checksum) by name, version, and the source without the commit, which package IDs do not have."""
    return {
        (package["name"], package["version"], (source := package.get("source", "")).partition("#")[0]):
            (source, package.get("checksum", ""))
        for package in tomllib.loads(lock).get("package", ())
    }  # fmt: skip


def _crate(id: str, below: set[str], file: Path, locked: Mapping[tuple[str, str, str], tuple[str, str]]) -> Crate:
    name, version = package_id(id)
    # Since cargo 1.77 "<source>#name@version", before "name version (<source>)".
    address = id.rpartition("(")[2].removesuffix(")").partition("#")[0] if id.endswith(")") else id.rpartition("#")[0]
    # Crates of a std that is compiled with the workspace are in another lock file.
    unlocked = address if address.startswith(("registry+", "sparse+", "git+")) else ""
    source, checksum = locked.get((name, version, address), (unlocked, ""))
    return Crate(id=id, name=name, version=version, source=source, licence=licence(file), checksum=checksum,
                 depends_on=tuple(sorted(below)))  # fmt: skip


def licence(file: Path) -> str:
    """The licence in the manifest of the package to which a source file belongs, "" without one."""
    text = _table(file.parent, "package").get("license")
    if isinstance(text, dict):  # { workspace = true }
        inherited = _table(file.parent, "workspace").get("package")
        text = inherited.get("license") if isinstance(inherited, dict) else None
    return text if isinstance(text, str) else ""


def _table(folder: Path, name: str) -> dict[str, Any]:
    """The table of the nearest manifest that has it, in a directory or above it."""
    found = (_manifest(above).get(name) for above in (folder, *folder.parents))
    return next((table for table in found if isinstance(table, dict)), {})


@cache
def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((folder / "Cargo.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
