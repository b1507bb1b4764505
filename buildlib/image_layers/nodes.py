"""What is at a path of an image: the nodes of the tree that `file_system` makes of layers."""

from __future__ import annotations

from buildlib.image_layers.tar import DIRECTORY, Attributes

NOTHING: dict[str, Node] = {}  # in what is not a directory


class File:
    """A file under all its names: the number of its layer, that of its entry there, and whether it may be executed."""

    __slots__ = ("executable", "index", "layer")

    def __init__(self, layer: int, index: int, *, executable: bool) -> None:
        self.layer, self.index, self.executable = layer, index, executable


class Node:
    """What a name refers to. `newest` is the number of the last layer that wrote it, or anything below it."""

    __slots__ = ("attributes", "children", "file", "kind", "link", "newest")

    def __init__(self, kind: str, newest: int) -> None:
        self.kind, self.newest = kind, newest
        self.children: dict[str, Node] = {} if kind == DIRECTORY else NOTHING
        self.link = ""
        self.file: File | None = None  # if it is one
        self.attributes: Attributes | None = None  # of a directory that has an entry in a layer

    @property
    def is_executable(self) -> bool:
        """Whether it is a file that may be executed."""
        return self.file is not None and self.file.executable
