"""What another machine has made: a directory that a CI system has carried here. Nothing in it is trusted.

Every file is opened without following links, as a regular file of a bounded size, and read or copied once: what is checked is what
is used, whatever happens to the directory meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from buildlib.binaries import dist
from buildlib.binaries.dist import Entry
from buildlib.core import shard
from buildlib.core.errors import BuildError, Refused, UsageError
from buildlib.core.shard import Shard
from buildlib.shards import record
from buildlib.shards.record import Record

MAX_DOCUMENT = 64 << 20  # bytes of a manifest, a record, a report or a history
MAX_FILE = 4 << 30  # bytes of a program or a library
CHUNK = 1 << 20  # bytes
MAKE_AGAIN = "make this part again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One part as it was read: `entries` are those of the manifest, by path."""

    folder: Path
    record: Record
    shard: Shard
    entries: Mapping[str, Entry]

    def __str__(self) -> str:
        return f"{self.folder} ({self.shard})"

    @property
    def names(self) -> tuple[str, ...]:
        """The arches of this part, as its record says."""
        number = self.shard.number
        return self.record.parts[number - 1] if number <= len(self.record.parts) else ()


def found(folder: Path) -> list[Path]:
    """The parts that a directory means: itself, or those in it.

    GitHub's download-artifact (since v5) unpacks artifacts into directories below the one that is named, but a single one into that
    itself (its issue 419).
    """
    if (folder / record.RECORD).exists() or not folder.is_dir():
        return [folder]
    inner = [path for path in sorted(folder.iterdir()) if (path / record.RECORD).exists()]
    return inner or [folder]


def read(folder: Path) -> Result:
    """Read the record and the manifest of a part.

    Raises:
        UsageError: `folder` is not a directory that a command with --shard has written.
        BuildError: One of the files is not what it should be.
        Refused: It is a link, or too large.
    """
    if not folder.is_dir():
        absence = "not a directory" if folder.exists() else "no such directory"
        raise UsageError(f"{folder}: {absence}", "name the directories that `build --shard` wrote (dist/)")
    text = text_of(folder, record.RECORD)
    if text is None:
        help_text = "name the directories that `build --shard`, `test --shard` or `image --push --shard` wrote (dist/)"
        raise UsageError(f"{folder}: no {record.RECORD}: not a part of a command with --shard", help_text)
    found = record.read(text)
    if found is None or found.schema != record.SCHEMA:
        what = f"schema {found.schema}, expected {record.SCHEMA}" if found else "not a record of --shard"
        raise BuildError(f"{folder}/{record.RECORD}: {what}", MAKE_AGAIN)
    try:
        own = shard.parse(found.shard)
    except UsageError:
        raise BuildError(f"{folder}/{record.RECORD}: shard {found.shard!r}", MAKE_AGAIN) from None
    manifest = dist.entries((text_of(folder, dist.MANIFEST) or b"").decode("utf-8", "replace"))
    return Result(folder=folder, record=found, shard=own, entries={entry["path"]: entry for entry in manifest})


def text_of(folder: Path, name: str) -> bytes | None:
    """The content of a document below `folder`, None if there is none. Errors as of `opened`."""
    try:
        with opened(folder, name, MAX_DOCUMENT) as stream:
            return stream.read(MAX_DOCUMENT)
    except FileNotFoundError:
        return None


def copy(folder: Path, name: str, to: Path, limit: int = MAX_FILE) -> tuple[int, str]:
    """Copy a file below `folder`, and return the size and the SHA-256 of the copy.

    FileNotFoundError, errors of `opened`, and BuildError for a copy that cannot be written.
    """
    digest, size = hashlib.sha256(), 0
    with opened(folder, name, limit) as stream:
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            with to.open("wb") as target:
                while chunk := stream.read(CHUNK):
                    size += len(chunk)
                    if size > limit:
                        raise Refused(f"{folder}/{name}: more than {limit} bytes", MAKE_AGAIN)
                    digest.update(chunk)
                    target.write(chunk)
        except OSError as error:
            raise BuildError(
                f"{to}: {error.strerror}", "free some space, or set TMPDIR to a directory elsewhere"
            ) from None
    return size, digest.hexdigest()


@contextmanager
def opened(folder: Path, name: str, limit: int) -> Iterator[BinaryIO]:
    """A regular file of at most `limit` bytes below `folder`; `name` has no link in it.

    Raises:
        FileNotFoundError: There is no such file.
        Refused: It is a link, no regular file, or too large.
        BuildError: It cannot be read.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise Refused(f"{folder}: {name!r} is not the name of a file in it", MAKE_AGAIN)
    path, handle = folder / name, os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for number, part in enumerate(parts, 1):
            # A FIFO would wait for a program that writes to it.
            kind = os.O_NONBLOCK if number == len(parts) else os.O_DIRECTORY
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=handle)
            os.close(handle)
            handle = inner
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Refused(f"{path}: not a regular file", MAKE_AGAIN)
        if found.st_size > limit:
            raise Refused(f"{path}: {found.st_size} bytes, expected at most {limit}", MAKE_AGAIN)
        with os.fdopen(handle, "rb") as stream:
            handle = -1
            yield stream
    except FileNotFoundError:
        raise
    except OSError as error:
        if path.is_symlink() or any((folder / Path(*parts[:count])).is_symlink() for count in range(1, len(parts))):
            raise Refused(f"{path}: a link, expected a file", MAKE_AGAIN) from None
        raise BuildError(f"{path}: {error.strerror}", MAKE_AGAIN) from None
    finally:
        if handle >= 0:
            os.close(handle)
