"""What an object file is compiled for: the fields of its ELF header, and the attributes of an Arm object.

pyelftools is not used here. A static library of rustc's has some 400 objects with a section for each function: 24,000 sections
for armv7, which pyelftools reads in 3 s and this module in 0.1 s. Its iteration over Arm attributes (0.33) also never ends for
two groups of the same length. Sources: the ELF specification (gABI, chapter 4), and "Addenda to, and Errata in, the ABI for the
Arm Architecture" (IHI 0045) for the attributes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

MAGIC = b"\x7fELF"
EM_ARM = 40
SHT_ARM_ATTRIBUTES = 0x70000003
TYPES = {0: "ET_NONE", 1: "ET_REL", 2: "ET_EXEC", 3: "ET_DYN", 4: "ET_CORE"}
# Numbers of attributes, and the bits of e_flags that say the same in a linked file (ELF for the Arm Architecture, IHI 0044).
TAG_CPU_ARCH, TAG_FP_NUMBER_MODEL, TAG_VFP_ARGS = 6, 23, 28
SOFT_FLOAT, HARD_FLOAT = 0x200, 0x400
ATTRIBUTES_LIMIT = 1 << 16  # bytes; compilers write some 60
BLOCK = 4096  # section headers that are read at once


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an open file: `size` bytes from `start` on. Nothing else is read."""

    stream: BinaryIO
    start: int
    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Return the `count` bytes at `offset`.

        Raises:
            ValueError: they are not all inside of the span, or the file has become shorter.
        """
        part = self.part(offset, count)
        self.stream.seek(part.start)
        data = self.stream.read(count)
        if len(data) < count:
            raise ValueError(f"ends after {part.start + len(data)} bytes")
        return data

    def part(self, offset: int, count: int) -> Span:
        """Return `count` bytes at `offset` as a span of its own. ValueError if they are not all inside of this one."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise ValueError(f"{count} bytes at {offset} are not inside of {self.size}")
        return Span(self.stream, self.start + offset, count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """What an object file is compiled for.

    `flags` of an Arm object has the bits for hard or soft floats that the flags of a linked file would have, and neither if
    the object does not depend on the float ABI.
    """

    machine: int  # e_machine
    bits: int
    little: bool
    flags: int  # e_flags
    kind: str  # ET_REL, or what else the file is
    arm: int  # Tag_CPU_arch, 0 without one


def read(file: Span) -> Object:
    """Return what the ELF file in `file` is compiled for.

    Raises:
        ValueError: it is broken.
    """
    ident = file.read(0, 16)
    bits, order = {1: 32, 2: 64}.get(ident[4]), {1: "<", 2: ">"}.get(ident[5])
    if ident[:4] != MAGIC or bits is None or order is None:
        raise ValueError("no ELF header")
    words = struct.Struct(f"{order}HHI{'QQQ' if bits == 64 else 'III'}I")
    kind, machine, _, _, _, sections, flags = words.unpack(file.read(16, words.size))
    tags = attributes(file, sections, order) if (machine, bits) == (EM_ARM, 32) else {}
    if kind == 1:
        flags |= _float_abi(tags)
    return Object(
        machine=machine, bits=bits, little=order == "<", flags=flags, kind=TYPES.get(kind, str(kind)),
        arm=tags.get(TAG_CPU_ARCH, 0),
    )  # fmt: skip


def _float_abi(tags: Mapping[int, int]) -> int:
    """Return the bit of e_flags for the float ABI of an Arm object, 0 if it does not depend on one.

    As binutils (elf32_arm_merge_eabi_attributes): an object without floating point numbers fits both. Assembly files often
    lack all of these attributes.
    """
    if tags.get(TAG_VFP_ARGS) == 1:
        return HARD_FLOAT
    return SOFT_FLOAT if tags.get(TAG_FP_NUMBER_MODEL) and not tags.get(TAG_VFP_ARGS) else 0


def attributes(file: Span, sections: int, order: str) -> Mapping[int, int]:
    """Return the numeric attributes of a 32-bit Arm file, by tag; none without `.ARM.attributes`.

    `sections` is the offset of the section headers (e_shoff), `order` that of bytes as `struct` writes it.
    """
    for kind, offset, size in _sections(file, sections, order) if sections else ():
        if kind == SHT_ARM_ATTRIBUTES:
            if size > ATTRIBUTES_LIMIT:
                raise ValueError(f".ARM.attributes of {size} bytes")
            return _numbers(file.read(offset, size), order)
    return {}


def _sections(file: Span, start: int, order: str) -> Iterator[tuple[int, int, int]]:
    """Type, offset and size of each section of a 32-bit file."""
    size, count = struct.unpack(f"{order}HH", file.read(46, 4))
    header = struct.Struct(f"{order}4xI8xII16x")
    if size != header.size:
        raise ValueError(f"section headers of {size} bytes")
    if count == 0:  # more than e_shnum can hold: the size of the first section is the number
        (_, _, count) = header.unpack(file.read(start, size))
    for first in range(0, count, BLOCK):
        block = file.read(start + first * size, min(BLOCK, count - first) * size)
        yield from header.iter_unpack(block)


@lru_cache(maxsize=64)  # the objects of an archive mostly have the same attributes
def _numbers(data: bytes, order: str) -> Mapping[int, int]:
    """The attributes of the whole file by the vendor "aeabi"; those that are strings are left out."""
    numbers: dict[int, int] = {}
    place = 1 if data[:1] == b"A" else len(data)  # another version of the format has another first letter
    while place < len(data):
        (size,) = struct.unpack_from(f"{order}I", _all_of(data, place, 4))
        vendor, _, groups = _all_of(data, place, size)[4:].partition(b"\0")
        if vendor == b"aeabi":
            numbers |= _groups(groups, order)
        place += size
    return numbers


def _groups(data: bytes, order: str) -> dict[int, int]:
    numbers: dict[int, int] = {}
    place = 0
    while place < len(data):
        (size,) = struct.unpack_from(f"{order}I", _all_of(data, place + 1, 4))
        if size < 5:
            raise ValueError(f"attributes of {size} bytes")
        content = _all_of(data, place, size)[5:]
        if data[place] == 1:  # Tag_File; the others are about single sections and symbols
            numbers |= dict(_pairs(content))
        place += size
    return numbers


def _pairs(data: bytes) -> Iterator[tuple[int, int]]:
    place = 0
    while place < len(data):
        tag, place = _uleb128(data, place)
        value = 0
        # CPU_raw_name and CPU_name are strings, compatibility is a number and a string; above 32 the odd ones are strings.
        is_text = tag in (4, 5) or (tag > 32 and tag % 2 == 1)
        if not is_text:
            value, place = _uleb128(data, place)
            yield tag, value
        if is_text or tag == 32:
            place = data.index(b"\0", place) + 1


def _uleb128(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(_all_of(data, place, 1) + data[place + 1 : place + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    raise ValueError("a number that does not end")


def _all_of(data: bytes, place: int, size: int) -> bytes:
    part = data[place : place + size]
    if size < 1 or len(part) < size:
        raise ValueError("broken attributes")
    return part
