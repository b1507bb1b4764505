"""Write the files of an image to the disk, so that its program can be started there.

Only files, directories and symbolic links, with the permissions of the user who writes them: no devices, no owners, no bits that
change the user. The tree has no links in its directories, so nothing is written outside of the folder, whatever a layer says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from buildlib.image_layers.compression import Allowance
from buildlib.image_layers.file_system import REMOVED, FileSystem, Layer, reader
from buildlib.image_layers.nodes import File
from buildlib.image_layers.tar import DIRECTORY, SYMLINK

Place = tuple[int, int]  # the number of a layer, and that of an entry in it


def unpack(system: FileSystem, layers: Sequence[Layer], folder: str, known: Mapping[Place, str]) -> dict[Place, str]:
    """Write the files of an image below an existing directory. Returns where each file is.

    Files that are `known` from another image with the same lower layers are linked from there. LayerError for layers that cannot be
    read, OSError for a disk that cannot be written.
    """
    files: dict[Place, list[tuple[str, File]]] = {}
    for path, node in system.nodes():
        place = os.fsencode(folder + path)
        if node.kind == DIRECTORY:
            os.mkdir(place, 0o755)  # noqa: PTH102  a name may not be UTF-8
        elif node.kind == SYMLINK:
            os.symlink(os.fsencode(node.link), place)  # noqa: PTH211
        elif node.file and node.kind != REMOVED:
            files.setdefault((node.file.layer, node.file.index), []).append((folder + path, node.file))
    for number, layer in enumerate(layers):
        wanted = {index for at, index in files if at == number and (at, index) not in known}
        if wanted:
            _write_files(layer, {index: files[number, index][0] for index in wanted})
    places = {}
    for at, names in files.items():
        first = names[0][0]
        if at in known:
            os.link(os.fsencode(known[at]), os.fsencode(first))
        for name, _ in names[1:]:
            os.link(os.fsencode(first), os.fsencode(name))
        places[at] = first
    return places


def _write_files(layer: Layer, places: Mapping[int, tuple[str, File]]) -> None:
    """Write files of one layer, which is read once."""
    with reader(layer, Allowance()) as entries:
        for index, entry in enumerate(entries):
            if index in places:
                name, file = places[index]
                mode = 0o755 if file.executable else 0o644
                with open(os.open(os.fsencode(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                    for offset, piece in entries.content(entry):
                        if stream.tell() != offset:
                            stream.seek(offset)
                        stream.write(piece)
                    stream.truncate(entry.size)
