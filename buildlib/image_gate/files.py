"""The files of an image with what was found in them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from buildlib.image_gate.contents import MAX_TEXT, Contents
from buildlib.image_gate.scans import Scan
from buildlib.image_layers.compression import LayerError
from buildlib.image_layers.file_system import FileSystem, Layer
from buildlib.image_layers.nodes import Node

NOTHING = Contents()
LINKED = 8  # files that configure the loader under other names: for each one its layer is read again


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the image: its path without links, and what is in it."""

    path: str
    node: Node
    contents: Contents


class Files:
    """The files of an image. LayerError if its layers cannot be applied."""

    def __init__(self, layers: Sequence[Layer], scans: Sequence[Scan]) -> None:
        self.layers, self._scans = layers, scans
        self._system = FileSystem(layers, [scan.entries for scan in scans])
        self._linked = LINKED

    def all(self) -> Iterator[Found]:
        """Every file in which something was found, in the order of layers and of what they contain. Hard links are one file."""
        seen: dict[tuple[int, int], Found] = {}
        for path, node in self._system.files():
            if node.file and (content := self._scans[node.file.layer].contents.get(node.file.index)):
                seen.setdefault((node.file.layer, node.file.index), Found(path, node, content))
        yield from (seen[place] for place in sorted(seen))

    def find(self, path: str) -> Found | None:
        """What a path means in the image; None if there is nothing. LayerError for a loop of links."""
        found = self._system.find(path)
        if found is None:
            return None
        where, node = found
        content = self._scans[node.file.layer].contents.get(node.file.index) if node.file else None
        return Found(where, node, content or NOTHING)

    def look(self, path: str) -> Found | None:
        """`find` for what need not be there: a loop of links is nothing."""
        try:
            return self.find(path)
        except LayerError:
            return None

    def names(self, folder: str) -> list[str]:
        """The names in a directory, sorted."""
        found = self.look(folder)
        return sorted(name for name, node in found.node.children.items() if node.kind != "removed") if found else []

    def read(self, found: Found) -> Iterator[tuple[int, bytes]]:
        """The content of a file in pieces, each with its offset. Only its layer is read."""
        return self._system.read(found.node)

    def text(self, path: str) -> bytes:
        """The content of a file that configures the loader, b"" without one."""
        found = self.look(path)
        if found is None or found.node.file is None:
            return b""
        if found.contents.text or found.path == path or not self._linked:
            return found.contents.text
        self._linked -= 1
        data = bytearray()  # a link led to a file that was not read as one of these
        for _, piece in self.read(found):
            data += piece
            if len(data) > MAX_TEXT:
                return b""
        return bytes(data)

    def executable(self, paths: Iterable[str]) -> Found | str:
        """The first of `paths` that can be started, or why none of them can."""
        reason = "not in the image"
        for path in paths:
            try:
                found = self.find(path)
            except LayerError as error:
                return str(error)
            if found and found.node.is_executable:
                return found
            if found:
                reason = "not executable" if found.node.file else f"a {found.node.kind}"
        return reason


def join(folder: str, name: str) -> str:
    """A path from the root: that of `name`, which may be relative to `folder`."""
    return posixpath.join("/", folder, name)
