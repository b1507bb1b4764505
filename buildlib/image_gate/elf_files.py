"""ELF files wherever they are, in layers and in archives: their headers, and where they are kept while they are read."""

from __future__ import annotations

import io
import struct
import tempfile
from dataclasses import dataclass, replace
from typing import BinaryIO

from buildlib.elf import object_file
from buildlib.elf.object_file import EM_ARM, Span
from buildlib.image_gate.machines import Elf

IN_MEMORY = 64 << 20  # bytes of a file that is kept in memory while it is read; larger ones are on the disk
HEADERS = 1 << 16  # bytes of a file that is not read whole: its headers
# How a program asks the kernel what its CPU has.
QUESTIONS = (b"getauxval", b"/proc/self/auxv", b"/proc/cpuinfo")
OLDEST_ARM = 5  # Tag_CPU_arch of the oldest platform, arm/v5
ZIP_MAGIC, ZIP_NAMES = b"PK\3\4", (".jar", ".war", ".ear", ".zip", ".whl", ".egg", ".pex", ".pyz")


@dataclass(frozen=True, slots=True)
class Member:
    """An ELF file in an archive. `path` is its path there, with those of the archives between: lib/a.jar!/linux/libx.so."""

    path: str
    elf: Elf


def header(file: Span) -> Elf | None:
    """What the ELF header says, and the attributes of an Arm file. None for what no kernel and no linker would read."""
    try:
        ident = file.read(0, 16)
        if ident[6] != 1:  # EV_CURRENT
            return None
        try:
            return Elf(object_file.read(file), ident[7])
        except (ValueError, struct.error):  # an Arm file whose sections cannot be read, or are not there
            start = file.read(0, 52)
            without = start[:32] + bytes(4) + start[36:]
            return Elf(object_file.read(Span(io.BytesIO(without), 0, len(without))), ident[7])
    except (ValueError, struct.error):
        return None


def needs_all(elf: Elf) -> bool:
    """Whether more than the header is needed to know what a file is for."""
    return elf.object.machine == EM_ARM and elf.object.bits == 32


def with_question(elf: Elf, file: Span) -> Elf:
    """The same with `asks_cpu`, which is looked for in files that may contain code for newer CPUs."""
    return replace(elf, asks_cpu=True) if elf.object.arm > OLDEST_ARM and asks_cpu(file) else elf


def asks_cpu(file: Span) -> bool:
    """Whether the file contains one of the names with which programs ask what the CPU has."""
    longest = max(map(len, QUESTIONS))
    for start in range(0, file.size, 1 << 20):
        part = file.read(start, min((1 << 20) + longest, file.size - start))
        if any(question in part for question in QUESTIONS):
            return True
    return False


def scratch(size: int) -> BinaryIO:
    """A stream for a file of that many bytes."""
    return io.BytesIO() if size <= IN_MEMORY else tempfile.TemporaryFile()
