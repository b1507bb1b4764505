"""Layers of base images on this machine: each is downloaded once, verified, and kept in the user's cache within a bound.

They are needed here to check an image, and to copy a layer to a registry that does not have it. A file gets its name when all of it
was verified, and is verified again before it is used first in a process: a disk may lose bits, and a cache may be edited.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from buildlib.core.errors import BuildError, Refused
from buildlib.registry.content import Repository
from buildlib.registry.digests import verified

KEPT = 4 << 30  # bytes of all layers; the slim images of a distribution for nine platforms have 0.3 GiB
CHUNK = 1 << 20  # bytes
ABANDONED = 86400.0  # seconds after which nobody writes to an incomplete file any more


@dataclass(frozen=True)
class BlobCache:
    """The layers in `folder`. Threads share it, and so do commands that run at the same time."""

    folder: Path
    kept: int = KEPT
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _verified: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def opener(self, repository: Repository, digest: str, size: int | None) -> Callable[[], BinaryIO]:
        """A function that opens a layer, which it downloads from `repository` if the cache lacks it.

        It raises NetworkError or BuildError if the registry does not return the layer, Refused if it returns something else.
        """
        return lambda: self._open(repository, digest, size)

    def _open(self, repository: Repository, digest: str, size: int | None) -> BinaryIO:
        with self._lock:
            lock = self._locks.setdefault(digest, threading.Lock())
        path = self.folder.joinpath(*digest.split(":"))
        with lock:  # one thread downloads, the others wait
            if digest not in self._verified or not path.exists():  # another command may have removed it
                self._provide(repository, path, digest, size)
                self._verified.add(digest)
            return path.open("rb")

    def _provide(self, repository: Repository, path: Path, digest: str, size: int | None) -> None:
        try:
            if not _is_intact(path, digest, size):
                _download(repository, path, digest, size)
        except OSError as error:
            help_text = "free some space, or let XDG_CACHE_HOME name a directory with more"
            raise BuildError(f"{path.parent}: {error.strerror}", help_text) from None

    def prune(self) -> None:
        """Remove the layers that were not used for longest, and what killed commands have left, until the bound is kept."""
        used: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):
                facts = path.stat()
                if not path.name.startswith("."):
                    used.append((facts.st_mtime, facts.st_size, path))
                elif time.time() - facts.st_mtime > ABANDONED:
                    path.unlink()
        total = sum(size for _, size, _ in used)
        for _, size, path in sorted(used):
            if total <= self.kept:
                return
            path.unlink(missing_ok=True)
            total -= size


def _is_intact(path: Path, digest: str, size: int | None) -> bool:
    """Whether a file is there, and is what its digest says."""
    with contextlib.suppress(FileNotFoundError, Refused), path.open("rb") as stream:
        for _ in verified(iter(lambda: stream.read(CHUNK), b""), str(path), digest, size):
            pass
        os.utime(path)  # the layers that were not used for longest are removed first
        return True
    return False


def _download(repository: Repository, path: Path, digest: str, size: int | None) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            for chunk in repository.blob(digest, size):
                stream.write(chunk)
        temporary.replace(path)
    finally:
        with contextlib.suppress(NotADirectoryError):
            temporary.unlink(missing_ok=True)
