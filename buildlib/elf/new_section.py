"""A section more in a linked program or library, without a linker.

The section is not loaded. The new bytes are behind the old ones: nothing that the linker has placed moves, and only those fields of
the ELF header that say where the section headers are get other values. Source: the ELF specification (gABI, chapter 4).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from buildlib.elf.object_file import MAGIC, Span

# Fields of the ELF header from e_ident on, and of a section header. `Q` stands for what has the size of an address.
HEADER, SECTION = "16sHHIQQQIHHHHHH", "IIQQQQIIQQ"
E_SHOFF, E_SHENTSIZE, E_SHNUM, E_SHSTRNDX = 6, 11, 12, 13
SH_NAME, SH_FLAGS, SH_OFFSET, SH_SIZE = 0, 2, 4, 5
SHT_PROGBITS, SHT_STRTAB, SHF_ALLOC = 1, 3, 2
SHN_LORESERVE = 0xFF00  # numbers of sections from here on are in another place
NO_SECTION = (0,) * 10


class Extended(NamedTuple):
    """What a file with the new section has in place of its first bytes, and behind its last one."""

    head: bytes
    tail: bytes


def with_section(file: Span, name: str, content: bytes) -> Extended | None:
    """Return what changes if a section is added; None if the file has one of this name already.

    Raises:
        ValueError: the file is not an ELF file, is broken, or has no room for a section more.
    """
    ident = file.read(0, 16)
    bits, order = {1: 32, 2: 64}.get(ident[4]), {1: "<", 2: ">"}.get(ident[5])
    if ident[:4] != MAGIC or bits is None or order is None:
        raise ValueError("no ELF header")
    header, section = (
        struct.Struct(order + (form if bits == 64 else form.replace("Q", "I"))) for form in (HEADER, SECTION)
    )
    fields = list(header.unpack(file.read(0, header.size)))
    rows, names = _sections(file, fields, section)
    if any(names[row[SH_NAME] :].startswith(f"{name}\0".encode()) for row in rows):
        return None

    start, index = file.size, fields[E_SHSTRNDX]
    rows.append([len(names), SHT_PROGBITS, 0, 0, start, len(content), 0, 0, 1, 0])
    names += f"{name}\0".encode()
    rows[index][SH_OFFSET], rows[index][SH_SIZE] = start + len(content), len(names)
    body = content + names
    body += bytes(-(start + len(body)) % (bits // 8))  # the headers are aligned as addresses are
    fields[E_SHOFF], fields[E_SHENTSIZE], fields[E_SHNUM] = start + len(body), section.size, len(rows)
    try:
        return Extended(header.pack(*fields), body + b"".join(section.pack(*row) for row in rows))
    except struct.error:
        raise ValueError("too large for its class") from None


def _sections(file: Span, fields: list[int], section: struct.Struct) -> tuple[list[list[int]], bytes]:
    """The section headers of a file and their names. A file without any gets the two that every file with sections has."""
    count = fields[E_SHNUM]
    if (count, fields[E_SHOFF]) == (0, 0):
        fields[E_SHSTRNDX] = 1
        return [list(NO_SECTION), [1, SHT_STRTAB, 0, 0, 0, 0, 0, 0, 1, 0]], b"\0.shstrtab\0"
    if not 0 < fields[E_SHSTRNDX] < count < SHN_LORESERVE - 1 or fields[E_SHENTSIZE] != section.size:
        raise ValueError(f"{count} section headers of {fields[E_SHENTSIZE]} bytes")
    rows = [list(row) for row in section.iter_unpack(file.read(fields[E_SHOFF], count * section.size))]
    strings = rows[fields[E_SHSTRNDX]]
    names = file.read(strings[SH_OFFSET], strings[SH_SIZE])
    if strings[SH_FLAGS] & SHF_ALLOC or not names.endswith(b"\0"):
        raise ValueError("the names of the sections cannot be extended")
    return rows, names
