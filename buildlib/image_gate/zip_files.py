"""The ELF files in zip files: jar, war and ear, wheels, eggs. Of each file in them only the start is decompressed.

Read with Python's zipfile, which trusts the sizes that a file states: here the directory is measured first, and what is decompressed
is counted. Encrypted files, and those compressed with anything but deflate, are passed over, as Java does not load them either.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from buildlib.elf.object_file import MAGIC, Span
from buildlib.image_gate.elf_files import (
    HEADERS,
    IN_MEMORY,
    ZIP_MAGIC,
    ZIP_NAMES,
    Member,
    header,
    needs_all,
    scratch,
    with_question,
)

# Bytes of what is decompressed of a zip file with those in it: any may have FREE, and RATIO for each of its own. Jars have 2 to 5.
FREE, RATIO = 1 << 28, 20
DEPTH = 3  # an ear has wars, which have jars
MAX_DIRECTORY = (
    1 << 24
)  # bytes; each entry takes some ten times of its size in memory. A jar of 100,000 classes has 10 MiB
MAX_MEMBERS = 10_000  # ELF files of one zip file
END, END_SIZE, LONGEST_END = b"PK\5\6", 22, 22 + (1 << 16)
END_64, LOCATOR_SIZE, RECORD_SIZE = b"PK\6\6", 20, 56
# What the reader fails with for files that are no zip files, or broken ones.
ERRORS = (BadZipFile, NotImplementedError, RuntimeError, ValueError, OverflowError, struct.error, zlib.error, EOFError, OSError,
          LookupError)  # fmt: skip


class Exhausted(Exception):
    """More would be decompressed than is allowed."""


class Budget:
    """How many bytes may be decompressed, and how many ELF files found."""

    def __init__(self, allowed: int) -> None:
        self.left, self.members = allowed, MAX_MEMBERS

    def take(self, size: int) -> None:
        """Count bytes. Exhausted if they are too many."""
        self.left -= size
        if self.left < 0:
            raise Exhausted


def members(file: Span, budget: Budget) -> Iterator[Member]:
    """The ELF files in a zip file. What comes after the limit, or after a part that cannot be read, is left out."""
    try:
        yield from _members(file, budget, "", DEPTH)
    except Exhausted:
        return


def _members(file: Span, budget: Budget, prefix: str, depth: int) -> Iterator[Member]:
    if _directory_size(file) > MAX_DIRECTORY:
        return
    budget.take(_directory_size(file))
    try:
        opened = ZipFile(_Part(file))
    except ERRORS:
        return
    with opened:
        for info in opened.infolist():
            is_code = info.filename.endswith(".class")  # which no kernel loads; most files of a jar are
            if (
                is_code
                or info.flag_bits & 1
                or info.compress_type not in (ZIP_STORED, ZIP_DEFLATED)
                or info.file_size < 52
            ):
                continue
            try:
                yield from _member(opened, info, budget, prefix, depth)
            except ERRORS:
                continue


def _member(opened: ZipFile, info: ZipInfo, budget: Budget, prefix: str, depth: int) -> Iterator[Member]:
    with opened.open(info) as stream:
        head = stream.read(64)
        budget.take(1 << 12)  # what zipfile decompresses at least
        if head[:4] == MAGIC:
            head += _read(stream, HEADERS, budget)
            content = Span(io.BytesIO(head), 0, len(head))
            elf = header(content)
            if elf and needs_all(elf) and len(head) >= HEADERS:
                content = _span(head + _read(stream, IN_MEMORY, budget))
                elf = header(content)
            if elf:
                budget.members -= 1
                if budget.members < 0:
                    raise Exhausted
                yield Member(prefix + info.filename, with_question(elf, content))
        elif depth > 1 and (head.startswith(ZIP_MAGIC) or info.filename.lower().endswith(ZIP_NAMES)):
            with scratch(info.file_size) as whole:
                size = whole.write(head)
                while chunk := _read(stream, 1 << 18, budget):
                    size += whole.write(chunk)
                yield from _members(Span(whole, 0, size), budget, f"{prefix}{info.filename}!/", depth - 1)


def _read(stream: IO[bytes], size: int, budget: Budget) -> bytes:
    """Up to `size` bytes, which are counted as they come: a file may have more than it states."""
    parts = []
    while size > 0 and (part := stream.read(min(size, 1 << 18))):
        budget.take(len(part))
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _span(data: bytes) -> Span:
    return Span(io.BytesIO(data), 0, len(data))


def _directory_size(file: Span) -> int:
    """Bytes of the directory, which zipfile reads whole; more than any for a file without one. As zipfile looks for it."""
    if file.size < END_SIZE:
        return MAX_DIRECTORY + 1
    tail = file.read(max(0, file.size - LONGEST_END), min(file.size, LONGEST_END))
    place = len(tail) - END_SIZE
    if not (tail[place : place + 4] == END and tail[-2:] == b"\0\0"):
        place = tail.rfind(END)
    if place < 0 or place + END_SIZE > len(tail):
        return MAX_DIRECTORY + 1
    sizes: list[int] = [*struct.unpack_from("<I", tail, place + 12)]
    locator = tail[place - LOCATOR_SIZE : place] if place >= LOCATOR_SIZE else b""
    if locator[:4] == b"PK\6\7":  # zip64: the record is where the locator says, and should be in front of it
        end = file.size - len(tail) + place
        for start in (struct.unpack_from("<Q", locator, 8)[0], end - LOCATOR_SIZE - RECORD_SIZE):
            if 0 <= start <= file.size - RECORD_SIZE:
                record = file.read(start, RECORD_SIZE)
                sizes += struct.unpack_from("<Q", record, 40) if record[:4] == END_64 else ()
        sizes = sizes[1:] if len(sizes) > 1 else sizes
    return max(sizes)


class _Part(io.RawIOBase):
    """A span as a file, for zipfile."""

    def __init__(self, span: Span) -> None:
        super().__init__()
        self._span, self._place = span, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._span.size}[whence]
        if base + offset < 0:
            raise ValueError("a place in front of the file")
        self._place = base + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._span.size - self._place)
        data = self._span.read(self._place, left if size < 0 else min(size, left)) if left else b""
        self._place += len(data)
        return data
