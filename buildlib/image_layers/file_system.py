"""The files of an image: its layers applied on top of each other, as container engines do it, in memory.

Semantics: OCI image specification 1.1, layer.md; where that leaves something open, containerd's `applyNaive` in pkg/archive/tar.go.
Names are resolved as in a container, whose root is the image: nothing leads out of it. What engines would read differently, or not
at all, is a LayerError.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import dropwhile
from typing import BinaryIO

from buildlib.image_layers.compression import Allowance, Decompressed, LayerError
from buildlib.image_layers.nodes import File, Node
from buildlib.image_layers.tar import DIRECTORY, FILE, HARD_LINK, SYMLINK, Entry, Reader

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
REMOVED = "removed"  # the kind of a name that a whiteout hides in the layers below
LINKS = 40  # symbolic links in one path, the kernel's limit (path_resolution(7))
PATH_MAX, NAME_MAX = 4096, 255  # bytes, the kernel's limits
# Bounds for memory and time. The largest images that are in use, those for machine learning, have half a million files.
MAX_NODES, MAX_TEXT, MAX_STEPS = 1_000_000, 1 << 26, 30_000_000
MAX_FILE = 4 << 30  # bytes of a file that is read


@dataclass(frozen=True)
class Layer:
    """A layer that is a local file once it is opened. Its digest was verified."""

    digest: str
    open: Callable[[], BinaryIO]


class FileSystem:
    """The files of an image, whose lowest layer is the first.

    `entries` has those of each layer if they are known. LayerError for layers that cannot be read or applied.
    """

    def __init__(self, layers: Sequence[Layer], entries: Sequence[Sequence[Entry]] = ()) -> None:
        self._layers, self._root = layers, Node(DIRECTORY, 0)
        self._nodes = self._text = self._steps = 0
        self._number = len(layers) - 1  # of the last layer
        allowance = Allowance()
        for number, layer in enumerate(layers):
            source = nullcontext(entries[number]) if entries else reader(layer, allowance)
            with naming(layer), source as read:
                self._apply_all(read, number)

    def find(self, path: str) -> tuple[str, Node] | None:
        """The path without links and the node of what a path means; None if there is no such thing.

        LayerError for a loop of links.
        """
        node, names = self._walk(path.split("/"))
        return (f"/{'/'.join(names)}", node) if node else None

    def add(self, entries: Iterable[Entry]) -> None:
        """Apply one more layer, which is being made: its files cannot be read."""
        self._number += 1
        self._apply_all(entries, self._number)

    def read(self, node: Node) -> Iterator[tuple[int, bytes]]:
        """The content of a file in pieces, each with its offset. The last one may be empty: it is at the end of the file."""
        assert node.file is not None, node.kind
        with reader(self._layers[node.file.layer], Allowance()) as entries:
            entry = next(entry for index, entry in enumerate(entries) if index == node.file.index)
            if entry.size > MAX_FILE:
                raise LayerError(f"{entry.name}: {entry.size} bytes, expected at most {MAX_FILE}")
            yield from entries.content(entry)
            yield entry.size, b""

    def files(self) -> Iterator[tuple[str, Node]]:
        """Path and node of each file of the image, without what is behind symbolic links."""
        return ((path, node) for path, node in self.nodes() if node.file)

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Path and node of everything in the image, directories before what is in them."""
        todo = [("", iter(self._root.children.items()))]
        while todo:
            folder, children = todo[-1]
            name, node = next(children, ("", None))
            if node is None:
                todo.pop()
                continue
            self._count_steps(1 + len(folder) // 64)  # links lead to paths that are longer than any name
            yield f"{folder}/{name}", node
            if node.kind == DIRECTORY:
                todo.append((f"{folder}/{name}", iter(node.children.items())))

    # --- names ---------------------------------------------------------------------------------------------------------

    def _walk(self, names: list[str], writer: int | None = None) -> tuple[Node | None, list[str]]:
        """Follow names and links from the root, as the kernel does for a process in the image.

        Returns the node, and the names that lead to it without links. `writer` is the number of the layer that writes there: what is
        missing becomes a directory.
        """
        nodes, path, todo, links = [self._root], [""], names[::-1], 0
        while todo:
            name = todo.pop()
            self._count_steps(1)
            if nodes[-1].kind != DIRECTORY:
                return None, []
            if name == ".." and len(nodes) > 1:
                del nodes[-1], path[-1]
            if name in ("", ".", ".."):
                continue
            child = nodes[-1].children.get(name)
            if child is None or child.kind == REMOVED:
                if writer is None:
                    return None, []
                child = self._add_directory(nodes[-1], name, writer)
            if child.kind == SYMLINK:
                links += 1
                if links > LINKS:
                    raise LayerError(f"a loop of symbolic links, or a chain of more than {LINKS}")
                if writer is not None and _is_detour(child.link):
                    raise LayerError(f"a link to {child.link}, which engines follow differently")
                todo += child.link.split("/")[::-1]
                if child.link.startswith("/"):
                    del nodes[1:], path[1:]
                continue
            nodes.append(child)
            path.append(name)
        if writer is not None:
            for node in nodes:
                node.newest = writer
        return nodes[-1], path[1:]

    def _count_steps(self, number: int) -> None:
        self._steps += number
        if self._steps > MAX_STEPS:
            raise LayerError("the layers have too many links and directories")

    # --- applying a layer --------------------------------------------------------------------------------------------

    def _apply_all(self, entries: Iterable[Entry], number: int) -> None:
        for index, entry in enumerate(entries):
            try:
                self._apply(entry, number, index)
            except LayerError as error:
                raise LayerError(f"{entry.name}: {error}") from None

    def _apply(self, entry: Entry, number: int, index: int) -> None:
        """Apply one entry of layer `number`; `index` is its place there."""
        names = _clean(entry.name)
        self._text += len(entry.name) + len(entry.link)
        if self._text > MAX_TEXT:
            raise LayerError(f"the layers have more than {MAX_TEXT} characters in names")
        long = len(entry.name) > NAME_MAX and any(len(name) > NAME_MAX for name in names)
        if long or max(len(entry.name), len(entry.link)) >= PATH_MAX or (entry.kind == SYMLINK and not entry.link):
            raise LayerError("a name that no file system allows")
        if not names:
            return  # the root
        *folders, base = names
        directory = self._directory(folders, number)
        if base.startswith(WHITEOUT):
            self._remove(directory, base, number)
        elif entry.kind == DIRECTORY:
            self._add_directory(directory, base, number).attributes = entry.attributes
        else:
            node = Node(entry.kind, number)
            node.link = entry.link
            if entry.kind == FILE:
                node.file = File(number, index, executable=entry.executable)
            elif entry.kind == HARD_LINK:
                self._link(node, directory, base, executable=entry.executable)
            directory.children[base] = node
            self._count_node()

    def _directory(self, names: list[str], number: int) -> Node:
        """The directory to which layer `number` writes; missing ones are created, and links followed."""
        directory, _ = self._walk(names, number)
        if directory is None or directory.kind != DIRECTORY:
            raise LayerError("its directory is a file")
        return directory

    def _add_directory(self, parent: Node, name: str, number: int) -> Node:
        """Create a directory, or keep the one that exists."""
        existing = parent.children.get(name)
        if existing is None or existing.kind != DIRECTORY:
            existing = parent.children[name] = Node(DIRECTORY, number)
            self._count_node()
        existing.newest = number
        return existing

    def _link(self, node: Node, directory: Node, name: str, *, executable: bool) -> None:
        """Make `node` another name of the file to which it is a hard link."""
        directory.children.pop(name, None)  # an engine removes what is there first
        names = _clean(node.link)
        parent, _ = self._walk(names[:-1])
        target = parent.children.get(names[-1]) if names and parent else None
        if target is None or target.kind in (DIRECTORY, REMOVED):
            raise LayerError(f"a hard link to {node.link}, which is not a file of the image")
        node.kind, node.link, node.file = target.kind, target.link, target.file
        if node.file:
            node.file.executable = executable  # the entry of the link counts, it is the later one

    def _remove(self, directory: Node, base: str, number: int) -> None:
        """Apply a whiteout, which hides what the layers below contain, and nothing of its own layer."""
        name = base.removeprefix(WHITEOUT)
        if base == OPAQUE:
            self._hide_below(directory, number)
            return
        if name in ("", ".", ".."):
            raise LayerError("a whiteout of nothing")
        existing = directory.children.get(name)
        if existing is None or existing.newest < number:
            directory.children[name] = Node(REMOVED, number)
            self._count_node()
        elif existing.kind == DIRECTORY:
            self._hide_below(existing, number)

    def _hide_below(self, directory: Node, number: int) -> None:
        """Remove everything from a directory that is not of layer `number`."""
        todo = [directory]
        while todo:
            node = todo.pop()
            self._count_steps(len(node.children))
            node.children = {name: child for name, child in node.children.items() if child.newest == number}
            todo += [child for child in node.children.values() if child.kind == DIRECTORY]

    def _count_node(self) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise LayerError(f"the layers have more than {MAX_NODES} entries")


def _clean(name: str) -> list[str]:
    """The names in the path of an entry, which is relative to the root. As in Go's filepath.Clean, `..` removes a name."""
    return [part for part in posixpath.normpath(name).split("/") if part not in ("", ".", "..")]


def _is_detour(link: str) -> bool:
    """Whether a link leads up after a name, as a/../b does: Go's engines remove the name, the kernel follows it first."""
    names = [name for name in link.split("/") if name not in ("", ".")]
    return ".." in dropwhile("..".__eq__, names)


@contextmanager
def reader(layer: Layer, allowance: Allowance) -> Iterator[Reader]:
    """The entries of a layer. What is wrong with them is an error that names the layer."""
    with naming(layer), layer.open() as file:
        allowance.add(file.seek(0, os.SEEK_END))
        file.seek(0)
        yield Reader(Decompressed(file, allowance))


@contextmanager
def naming(layer: Layer) -> Iterator[None]:
    """Let a LayerError name the layer."""
    try:
        yield
    except LayerError as error:
        title = f"layer {layer.digest[:19]} cannot be read: "
        raise LayerError(f"{title}{str(error).removeprefix(title)}") from None
