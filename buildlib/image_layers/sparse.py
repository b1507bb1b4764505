"""The maps of files with holes in tar files: GNU tar's sparse formats 0.0, 0.1 and 1.0, which are stored as PAX records.

Builders of layers should not write them (OCI image specification 1.1, layer.md), but bsdtar does for files that have holes on the
disk of the build. Semantics: Go's archive/tar, with which container engines read layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from buildlib.image_layers.compression import Decompressed, LayerError

BLOCK = 512  # bytes
MAX_MAP = 1 << 20  # bytes of a map; Go's limit
NUMBER = re.compile(r"\+?0*(?P<digits>[0-9]{1,18})|-0+")

Map = tuple[tuple[int, int], ...]  # offset and length of each part that is not a hole, in order


def record_map(values: Sequence[tuple[str, str]]) -> str:
    """The value of GNU.sparse.map from the records of format 0.0, which are pairs of an offset and a length."""
    names = [name.rpartition(".")[2] for name, _ in values]
    if names != ["offset", "numbytes"] * (len(names) // 2):
        raise LayerError("a sparse file with an invalid map")
    return ",".join(value for _, value in values)


def read_map(records: Mapping[str, str], data: Decompressed, stored: int) -> tuple[Map, int, int] | None:
    """The map of a file, its size, and the bytes of its map that precede its data. None for a file without a map.

    `stored` is the size of map and data together.
    """
    version = records.get("GNU.sparse.major", ""), records.get("GNU.sparse.minor", "")
    if version == ("1", "0"):
        numbers, used = _numbers_in(data, stored)
    elif version in (("0", "0"), ("0", "1")) or (version == ("", "") and records.get("GNU.sparse.map")):
        text = records.get("GNU.sparse.map", "")
        numbers, used = [number(word) for word in text.split(",") if text], 0
        if len(numbers) != 2 * number(records.get("GNU.sparse.numblocks", "")):
            raise LayerError("a sparse file with an invalid map")
    else:
        return None
    size = records.get("GNU.sparse.size") or records.get("GNU.sparse.realsize")
    parts = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    end = number(size) if size else stored
    ends = [0, *(offset + length for offset, length in parts)]
    ordered = all(offset >= before for (offset, _), before in zip(parts, ends, strict=False))
    if not ordered or ends[-1] > end or sum(length for _, length in parts) != stored - used:
        raise LayerError("a sparse file with an invalid map")
    return parts, end, used


def _numbers_in(data: Decompressed, stored: int) -> tuple[list[int], int]:
    """The numbers of a map of format 1.0, which is in front of the data, and the bytes that it takes: whole blocks."""
    blocks: list[bytes] = []
    lines, expected = 0, 1
    while lines < expected:
        if len(blocks) * BLOCK + BLOCK > min(stored, MAX_MAP):
            raise LayerError("a sparse file with an invalid map")
        blocks.append(data.read(BLOCK))
        lines += blocks[-1].count(b"\n")
        if lines and expected == 1:
            expected += 2 * number(b"".join(blocks).partition(b"\n")[0].decode("latin-1"))
    words = b"".join(blocks).decode("latin-1").split("\n")
    return [number(word) for word in words[1:expected]], len(blocks) * BLOCK


def number(text: str) -> int:
    """A decimal number. LayerError for any other text."""
    match = NUMBER.fullmatch(text)
    if match is None:
        raise LayerError(f"{text[:20]!r}, expected a number")
    return int(match["digits"] or 0)
