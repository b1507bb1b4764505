"""Put the layers of a base image into another repository: what is there stays, else it is mounted, else uploaded from this machine.

OCI distribution specification 1.1: "Checking if content exists in the registry", "Mounting a blob from another repository". A
registry that cannot mount, or refuses to, gets an upload: the specification leaves that choice to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from buildlib.registry import uploads
from buildlib.registry.content import Repository


@dataclass(frozen=True, slots=True)
class Source:
    """A blob, where it is, and a function that opens it on this machine."""

    digest: str
    repository: Repository
    open: Callable[[], BinaryIO]

    def file(self) -> Path:
        """The file that contains it on this machine."""
        with self.open() as stream:
            return Path(stream.name)


@dataclass
class BlobCopies:
    """The blobs that this command knows to be in repositories. Threads share it."""

    _places: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  # registry and digest -> a repository that has the blob
    _locks: dict[tuple[str, str], threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def provide(self, target: Repository, source: Source) -> None:
        """Put a blob into the repository `target`.

        Images that share a base image want its layers at the same time: the first one uploads them, the others mount them from there.

        Raises:
            NetworkError, BuildError: A registry refuses it, or does not answer.
            Refused: The source is something else than its digest says.
        """
        key = (target.registry, source.digest)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if not uploads.has_blob(target, source.digest) and not self._mount(target, source):
                uploads.push_file(target, source.open(), source.digest)
            self._places.setdefault(key, target.name)

    def _mount(self, target: Repository, source: Source) -> bool:
        """Whether the registry has taken the blob over from another of its repositories."""
        names = [self._places.get((target.registry, source.digest), "")]
        (host,) = target.client.hosts(target.registry, reading=False)
        # A mirror of the base image's registry may be the registry that is pushed to.
        if host in target.client.hosts(source.repository.registry, reading=True):
            names.append(source.repository.name)
        for name in dict.fromkeys(names):
            if name and name != target.name:
                answer = uploads.mount(target.client, target.registry, target.name, source.digest, name)
                if answer:
                    answer.received.close()
                    # Some registries answer before they have looked.
                    if uploads.has_blob(target, source.digest):
                        return True
        return False
