"""One pass over each layer: its entries, and what the gate needs to know of its files. Each layer is read once in a process.

Nothing of it depends on a platform, so that images that share layers share the result.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from buildlib.image_gate import contents
from buildlib.image_gate.contents import Contents
from buildlib.image_layers.compression import FREE, RATIO, Allowance, LayerError
from buildlib.image_layers.file_system import MAX_NODES, MAX_TEXT, Layer, naming, reader
from buildlib.image_layers.tar import FILE, Entry

# Entries of all layers that are kept: some 200 MiB. Images for machine learning have half a million.
KEPT = 600_000
SMALLEST = 4  # bytes of a file that can be anything of interest
ARCHIVES = 20  # bytes that zip files may be decompressed to for each byte of their layer, beside FREE


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over a layer found. `contents` is by the number of the entry.

    `size` is in bytes and decompressed, `stored` as the layer is stored.
    """

    entries: Sequence[Entry]
    contents: Mapping[int, Contents]
    size: int
    stored: int


class Scans:
    """The layers that were read in this process, the most recent ones. Threads may share it."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept, self._scans = kept, OrderedDict[str, Scan]()
        self._locks: dict[str, Lock] = {}
        self._lock = Lock()

    def of(self, layers: Sequence[Layer]) -> list[Scan]:
        """The scans of an image's layers. LayerError for a layer that cannot be read, or layers that have no end together."""
        allowance = Allowance()
        return [self._of(layer, allowance) for layer in layers]

    def _of(self, layer: Layer, allowance: Allowance) -> Scan:
        with self._lock:
            lock = self._locks.setdefault(layer.digest, Lock())
        with lock:  # two images that share a layer do not read it at the same time
            if layer.digest in self._scans:
                found = self._scans[layer.digest]
                with naming(layer):
                    allowance.add(found.stored)
                    allowance.take(found.size)
                return found
            found = scan(layer, allowance)
        self._keep(layer.digest, found)
        return found

    def _keep(self, digest: str, found: Scan) -> None:
        """Keep a scan, and forget the oldest ones if they have too many entries together."""
        with self._lock:
            self._scans[digest] = found
            while len(self._scans) > 1 and sum(len(one.entries) for one in self._scans.values()) > self._kept:
                self._scans.popitem(last=False)


def scan(layer: Layer, allowance: Allowance) -> Scan:
    """Read a layer from its start to its end. LayerError if it cannot be read, or has no end."""
    entries: list[Entry] = []
    found: dict[int, Contents] = {}
    total, left = allowance.total, allowance.left
    text = 0
    with reader(layer, allowance) as tar:
        archives = contents.Archives(FREE + ARCHIVES * (allowance.total - total))
        for entry in tar:
            text += len(entry.name) + len(entry.link)
            if len(entries) >= MAX_NODES or text > MAX_TEXT:
                raise LayerError(f"more than {MAX_NODES} entries, or {MAX_TEXT} characters in names")
            entries.append(entry)
            if entry.kind == FILE and entry.size >= SMALLEST and (content := contents.read(tar, entry, archives)):
                found[len(entries) - 1] = content
    added = allowance.total - total
    return Scan(entries, found, left + added - allowance.left, added // RATIO)
