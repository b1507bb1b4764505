"""The layers that are put on a base image, each with what one instruction of a Dockerfile adds.

The rules are BuildKit's (v0.25.1, solver/llbsolver/file/backend.go with tonistiigi/fsutil/copy; containerd's differ), as its layers
show them: links in the way to a place are followed; directories that are missing there get the owner of what is copied; directories
that exist keep theirs, and are entries of the layer if something in them is new; times are those of the sources, at most `epoch`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from buildlib.image_layers.compression import LayerError
from buildlib.image_layers.file_system import FileSystem
from buildlib.image_layers.tar import DIRECTORY, FILE, Attributes, Entry
from buildlib.image_layers.writer import NewEntry, layer


@dataclass(frozen=True, slots=True)
class Addition:
    """A file at an absolute path of the image, or a directory, whose content is None and which is kept if it exists."""

    path: str
    attributes: Attributes
    content: bytes | None = None


class NewLayers:
    """Makes one layer after the other on top of a base. LayerError for what cannot be put into it."""

    def __init__(self, base: FileSystem, epoch: int) -> None:
        self._system, self._epoch = base, epoch

    def add(self, additions: Iterable[Addition]) -> bytes:
        """The next layer, as a tar file, which is empty if it adds nothing. Its places are found in the layers before it."""
        entries: dict[str, NewEntry] = {}
        for addition in additions:
            self._place(addition, entries)
        found = [self._limited(entry) for entry in entries.values()]
        self._system.add(_entry(entry) for entry in sorted(found, key=lambda entry: entry.path.split("/")))
        return layer(found)

    def _place(self, addition: Addition, entries: dict[str, NewEntry]) -> None:
        """Add the entries of a file or directory, with those of the directories above it."""
        existing, missing = self._find(addition.path, entries)
        if addition.content is None and not missing:
            return
        if addition.content is not None and not missing:
            missing, existing = existing[-1:], existing[:-1]
            if self._is_directory("/".join((*existing, *missing)), entries):
                raise LayerError(f"{addition.path} is a directory in the base image")
        for depth in range(1, len(existing) + 1):
            path = "/".join(existing[:depth])
            changed = depth == len(existing)  # the kernel notes the time where a name is new
            entries.setdefault(path, self._kept(path))
            if changed:
                known = entries[path]
                entries[path] = replace(known, attributes=known.attributes._replace(modified=self._epoch))
        for depth in range(1, len(missing) + 1):
            path = "/".join((*existing, *missing[:depth]))
            is_last = depth == len(missing)
            owner = addition.attributes._replace(mode=0o755, modified=self._epoch)
            entries[path] = NewEntry(
                path, addition.attributes if is_last else owner, addition.content if is_last else None
            )

    def _find(self, path: str, entries: dict[str, NewEntry]) -> tuple[list[str], list[str]]:
        """The names of what exists on the way to a path, without links, and those that are missing."""
        existing: list[str] = []
        names = [name for name in path.split("/") if name]
        for number, name in enumerate(names):
            inner = "/".join((*existing, name))
            if inner in entries:
                existing.append(name)
                continue
            found = self._system.find(f"/{inner}")
            if found is None:
                return existing, names[number:]
            where, node = found
            if node.kind != DIRECTORY and number < len(names) - 1:
                raise LayerError(f"{path}: /{inner} is a {node.kind} in the base image")
            existing = where.strip("/").split("/") if where != "/" else []
        return existing, []

    def _is_directory(self, path: str, entries: dict[str, NewEntry]) -> bool:
        if path in entries:
            return entries[path].content is None
        found = self._system.find(f"/{path}")
        return found is not None and found[1].kind == DIRECTORY

    def _kept(self, path: str) -> NewEntry:
        """The entry of a directory that exists."""
        found = self._system.find(f"/{path}")
        known = found[1].attributes if found else None
        return NewEntry(path, known or Attributes(modified=self._epoch))

    def _limited(self, entry: NewEntry) -> NewEntry:
        modified = max(0, min(entry.attributes.modified, self._epoch))
        return replace(entry, attributes=entry.attributes._replace(modified=modified))


def _entry(entry: NewEntry) -> Entry:
    if entry.content is None:
        return Entry(entry.path, DIRECTORY, "", True, 0, attributes=entry.attributes)
    return Entry(entry.path, FILE, "", bool(entry.attributes.mode & 0o111), len(entry.content))
