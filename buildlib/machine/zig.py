"""What the installed zig can link for."""

from __future__ import annotations

from pathlib import Path


def newest_glibc(zig: Path) -> str:
    """The newest glibc version that this zig has stubs of, "" if its files do not tell."""
    try:
        table = (zig.parent / "lib" / "libc" / "glibc" / "abilists").read_bytes()
        return newest_of(table)
    except (OSError, ValueError, IndexError):
        return ""


def newest_of(table: bytes) -> str:
    """The newest version in the text of an `abilists`. ValueError or IndexError if it is not one.

    The format is that of `loadMetaData` in zig's src/libs/glibc.zig (0.9 to 0.17): a byte with the number of libraries, their names,
    each ended by a zero; a byte with the number of versions, three bytes each.
    """
    position = 1
    for _ in range(table[0]):
        position = table.index(0, position) + 1
    first = position + 1
    versions = [tuple(table[at : at + 3]) for at in range(first, first + 3 * table[position], 3)]
    major, minor, _ = max(versions)
    return f"{major}.{minor}"
