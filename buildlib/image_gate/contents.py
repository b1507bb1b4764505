"""What the gate needs to know of a file: whether it is a program, for which machine, and what is in it if it is an archive.

Nothing in a file is trusted. What is not what it begins as (an ELF file that is cut off, a broken archive, a zip file that never
ends) has no facts: there is nothing in it that a kernel or a loader would read either.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from buildlib.elf import archive, dynamic, object_file
from buildlib.elf.dynamic import STATIC, Dynamic
from buildlib.elf.object_file import Span
from buildlib.image_gate.elf_files import (
    OLDEST_ARM,
    ZIP_MAGIC,
    ZIP_NAMES,
    Member,
    asks_cpu,
    header,
    needs_all,
    scratch,
    with_question,
)
from buildlib.image_gate.machines import CODE, Elf
from buildlib.image_layers.tar import Entry, Reader

# The kernel's limit for the first line of a script (BINPRM_BUF_SIZE).
SHEBANG_SIZE = 256
# Bytes of files that are kept on the disk while they are read. Of larger ones only the headers are read.
ON_DISK = 4 << 30
LOADER_FILES = re.compile(r"\.?/?etc/(?:ld\.so\.(?:conf|cache)|ld\.so\.conf\.d/[^/]+|ld-musl-[^/]+\.path)")
MAX_TEXT = 4 << 20  # bytes of such a file; the cache of a system with 5,000 libraries has 0.4 MiB


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in one file of a layer."""

    elf: Elf | None = None
    dynamic: Dynamic | None = STATIC  # None if it cannot be read
    script: bytes = b""  # the start of a file that begins with #!
    members: tuple[Member, ...] = ()  # of an archive
    text: bytes = b""  # of a file that configures the loader


def read(tar: Reader, entry: Entry, archives: Archives) -> Contents | None:
    """What is in the current entry of a layer, None for nothing of interest. LayerError if the layer is damaged."""
    pieces = tar.content(entry)
    start, head = next(pieces, (0, b""))
    if start:  # it begins with a hole
        return None
    if head.startswith(object_file.MAGIC):
        return _elf(head, pieces, entry)
    script = head[:SHEBANG_SIZE] if head.startswith(b"#!") else b""
    if head.startswith(archive.MAGIC) and entry.size <= ON_DISK:
        with _whole(head, pieces, entry.size) as file:
            return Contents(members=tuple(_objects(file)))
    is_zip = head.startswith(ZIP_MAGIC) or entry.name.lower().endswith(ZIP_NAMES)  # a script may be in front of it
    if is_zip and entry.size <= ON_DISK:
        with _whole(head, pieces, entry.size) as file:
            return Contents(script=script, members=tuple(archives.members(file)))
    if LOADER_FILES.fullmatch(entry.name) and entry.size <= MAX_TEXT:
        with _whole(head, pieces, entry.size) as file:
            return Contents(script=script, text=file.read(0, file.size))
    return Contents(script=script) if script else None


class Archives:
    """Reads zip files, within the limits of one layer. See `zip_files`, which is imported when the first one is met."""

    def __init__(self, allowed: int) -> None:
        self.left = allowed  # bytes that the zip files of the layer may still have when they are decompressed

    def members(self, file: Span) -> Iterator[Member]:
        """The ELF files in a zip file, and in the zip files in it."""
        from buildlib.image_gate import zip_files

        budget = zip_files.Budget(min(self.left, zip_files.FREE + zip_files.RATIO * file.size))
        before = budget.left
        yield from zip_files.members(file, budget)
        self.left -= before - max(0, budget.left)


def _elf(head: bytes, pieces: Iterable[tuple[int, bytes]], entry: Entry) -> Contents | None:
    first = Span(io.BytesIO(head), 0, len(head))
    elf = header(first)
    if elf is None:
        return None
    loaded = elf.object.kind in CODE[1:] and _may_be_dynamic(first)
    if (not loaded and not needs_all(elf)) or entry.size > ON_DISK:
        return Contents(elf, None if loaded else STATIC)
    with _whole(head, pieces, entry.size) as file:
        elf = with_question(header(file) or elf, file)
        return Contents(elf, _dynamic(file) if loaded else STATIC)


def _may_be_dynamic(head: Span) -> bool:
    """Whether it has segments for a loader, or that cannot be said from the start of the file."""
    try:
        return dynamic.is_dynamic(dynamic.segments(head))
    except (ValueError, struct.error):
        return True


def _dynamic(file: Span) -> Dynamic | None:
    try:
        return dynamic.read(file, dynamic.segments(file))
    except (ValueError, struct.error, OverflowError):
        return None


def _objects(file: Span) -> list[Member]:
    """What is in a static library: the first member of each kind."""
    found: dict[Elf, str] = {}
    try:
        for name, content in archive.members(file):
            if content.size >= 52 and content.read(0, 4) == object_file.MAGIC and (elf := header(content)):
                found.setdefault(elf, name)
                if len(found) > archive.MOST_KINDS:
                    break
    except ValueError:
        pass  # the rest is no archive
    asks = any(elf.object.arm > OLDEST_ARM for elf in found) and asks_cpu(file)
    return [Member(name, replace(elf, asks_cpu=asks)) for elf, name in found.items()]


@contextmanager
def _whole(head: bytes, pieces: Iterable[tuple[int, bytes]], size: int) -> Iterator[Span]:
    """A file whose first piece is `head`, in memory or on the disk."""
    if len(head) == size:
        yield Span(io.BytesIO(head), 0, size)
        return
    with scratch(size) as stream:
        stream.write(head)
        for offset, piece in pieces:
            stream.seek(offset)
            stream.write(piece)
        stream.truncate(size)  # a hole at the end
        yield Span(stream, 0, size)
