"""The list of crates that programs carry with them, in the format of cargo-auditable.

`cargo audit bin`, trivy, syft and others read it. Source: PARSING.md and cargo-auditable.schema.json of its repository,
rust-secure-code/cargo-auditable.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from buildlib.crates.linked import CRATES_IO, Crate

SECTION = ".dep-v0"
# The oldest format whose readers do not take procedural macros for a part of the program. Ours has none.
FORMAT = 1
MAX_BLOCK = 0xFFFF  # bytes
SOURCES = {"": "local", "sparse": "registry"}  # where the kind of a source in Cargo.lock is not the format's own word


def crate_list(crates: Sequence[Crate]) -> bytes:
    """Return the content of the section for these crates, that of the file itself first. The same crates have the same bytes."""
    places = {crate.id: place for place, crate in enumerate(crates)}
    packages = [_package(crate, places, is_root=place == 0) for place, crate in enumerate(crates)]
    return stored(json.dumps({"packages": packages, "format": FORMAT}, separators=(",", ":")).encode())


def stored(data: bytes) -> bytes:
    """Return `data` as a zlib stream (RFC 1950, RFC 1951) of blocks that are not compressed.

    What `zlib.compress` returns depends on the library that Python was linked with: zlib-ng, which some distributions have in its
    place, finds other matches. A list of 300 crates has 30 KB.
    """
    parts = [b"\x78\x01"]
    for start in range(0, len(data) or 1, MAX_BLOCK):
        block = data[start : start + MAX_BLOCK]
        is_last = start + MAX_BLOCK >= len(data)
        parts += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join((*parts, zlib.adler32(data).to_bytes(4, "big")))


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
