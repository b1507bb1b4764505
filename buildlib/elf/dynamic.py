"""What a dynamic loader does for a program or a library: which loader, which other libraries, and where it looks for them.

pyelftools is not used here: an image has thousands of libraries, and pyelftools reads one in milliseconds, this module in 0.05.
Source: the ELF specification (gABI, chapter 5).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass

from buildlib.elf.object_file import Span

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 0, 1, 5, 14, 15, 29
# Far above what linkers write: bytes of the dynamic section, of a string in it, and the number of libraries that one file needs.
MAX_DYNAMIC, MAX_STRING, MAX_NEEDED, MAX_SEGMENTS = 1 << 18, 1 << 14, 2000, 4096

Segment = tuple[int, int, int, int]  # type, offset in the file, address, bytes in the file


@dataclass(frozen=True, slots=True)
class Dynamic:
    """The words of a file for its loader, which are empty for a static program. Paths are as in the file, with $ORIGIN."""

    loader: str = ""  # PT_INTERP
    needed: tuple[str, ...] = ()  # DT_NEEDED
    rpath: str = ""  # DT_RPATH, which applies to the libraries of its libraries, too
    runpath: str = ""  # DT_RUNPATH
    soname: str = ""  # DT_SONAME


STATIC = Dynamic()


def segments(file: Span) -> list[Segment]:
    """The segments of the file. ValueError if there is no ELF header, or the segments are not in the file."""
    ident = file.read(0, 16)
    order, wide = ("<" if ident[5] == 1 else ">"), ident[4] == 2
    start, _, _, _, size, count = struct.unpack(
        f"{order}{'QQIHHH' if wide else 'IIIHHH'}", file.read(*((32, 26) if wide else (28, 18)))
    )
    if not count:
        return []
    if count > MAX_SEGMENTS or size != (56 if wide else 32):
        raise ValueError(f"{count} segments of {size} bytes")
    table = struct.iter_unpack(f"{order}{'IIQQQQQQ' if wide else '8I'}", file.read(start, size * count))
    if wide:
        return [(kind, offset, address, length) for kind, _, offset, address, _, length, _, _ in table]
    return [(kind, offset, address, length) for kind, offset, address, _, length, _, _, _ in table]


def is_dynamic(table: list[Segment]) -> bool:
    """Whether a loader reads anything in a file with these segments."""
    return any(kind in (PT_DYNAMIC, PT_INTERP) for kind, _, _, _ in table)


def read(file: Span, table: list[Segment]) -> Dynamic:
    """What the file says to its loader; `table` are its segments. ValueError if it is broken."""
    loader, tags = "", list[tuple[int, int]]()
    for kind, offset, _, length in table:
        if kind == PT_INTERP and not loader:
            loader = _text(file.read(offset, min(length, MAX_STRING)))
        elif kind == PT_DYNAMIC and not tags:
            tags = _tags(file, offset, length)
    names = {DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH}
    wanted = [(tag, value) for tag, value in tags if tag in names]
    if not wanted:
        return Dynamic(loader=loader) if loader else STATIC
    strings = _offset(table, next((value for tag, value in tags if tag == DT_STRTAB), 0))
    found: dict[int, list[str]] = {tag: [] for tag in names}
    for tag, value in wanted[:MAX_NEEDED]:
        place = strings + value
        found[tag].append(_text(file.read(place, max(0, min(MAX_STRING, file.size - place)))))
    last = {tag: values[-1] if values else "" for tag, values in found.items()}
    return Dynamic(loader, tuple(found[DT_NEEDED]), last[DT_RPATH], last[DT_RUNPATH], last[DT_SONAME])


def _tags(file: Span, offset: int, length: int) -> list[tuple[int, int]]:
    """Tag and value of each entry of the dynamic section."""
    if length > MAX_DYNAMIC:
        raise ValueError(f"a dynamic section of {length} bytes")
    order, word, size = (
        ("<" if file.read(5, 1) == b"\1" else ">"),
        *(("Q", 16) if file.read(4, 1) == b"\2" else ("I", 8)),
    )
    tags = []
    for tag, value in struct.iter_unpack(f"{order}2{word}", file.read(offset, length // size * size)):
        if tag == DT_NULL:
            break
        tags.append((tag, value))
    return tags


def _offset(table: list[Segment], address: int) -> int:
    """The place in the file of what is loaded at an address. ValueError if no segment has it."""
    loaded = sorted((start, offset, length) for kind, offset, start, length in table if kind == PT_LOAD)
    index = bisect_right(loaded, (address, 1 << 64, 0)) - 1
    if index < 0 or address >= loaded[index][0] + loaded[index][2]:
        raise ValueError(f"no segment contains the address {address:#x}")
    return loaded[index][1] + address - loaded[index][0]


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
