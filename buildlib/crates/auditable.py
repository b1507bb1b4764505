"""The list of crates that programs carry with them, in the format of cargo-auditable.

`cargo audit bin`, trivy, syft and others read it. Source: PARSING.md and cargo-auditable.schema.json of its repository,
rust-secure-code/cargo-auditable.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from buildlib.crates import deflate
from buildlib.crates.linked import CRATES_IO, Crate

SECTION = ".dep-v0"
# The oldest format whose readers do not take procedural macros for a part of the program. Ours has none.
FORMAT = 1
SOURCES = {"": "local", "sparse": "registry"}  # where the kind of a source in Cargo.lock is not the format's own word


def crate_list(crates: Sequence[Crate]) -> bytes:
    """Return the content of the section for these crates, that of the file itself first. The same crates have the same bytes."""
    places = {crate.id: place for place, crate in enumerate(crates)}
    packages = [_package(crate, places, is_root=place == 0) for place, crate in enumerate(crates)]
    return deflate.compress(json.dumps({"packages": packages, "format": FORMAT}, separators=(",", ":")).encode())


def _package(crate: Crate, places: dict[str, int], *, is_root: bool) -> dict[str, Any]:
    package: dict[str, Any] = {"name": crate.name, "version": crate.version, "source": _source(crate.source)}
    if below := sorted(places[id] for id in crate.depends_on):
        package["dependencies"] = below
    if is_root:
        package["root"] = True
    return package


def _source(source: str) -> str:
    """The word for a source as Cargo.lock spells it. The address stays out: it may be one of this machine."""
    kind = source.partition("+")[0]
    return "crates.io" if source in CRATES_IO else SOURCES.get(kind, kind)
