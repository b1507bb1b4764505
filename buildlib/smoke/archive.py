"""Archives that `docker load` reads. Pure, except that blobs are read from their files while an archive is sent."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"  # the complete name, for Docker's containerd image store
LAYOUT_VERSION = '{"imageLayoutVersion":"1.0.0"}'
CHUNK = 1 << 20  # bytes


def loadable(image: Mapping[str, Any], config: str, layers: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """The documents, by their names, that make a layout one that `docker load` loads as a tar file, into either image store.

    `image` is the descriptor of the manifest, which refers to the digests `config` and `layers`; `names` maps names to complete
    names. The format is that of `docker save` since 25.0: manifest.json is for the classic store, index.json for containerd's.
    """
    paths = [blob_name(digest) for digest in (config, *layers)]
    item = {"Config": paths[0], "RepoTags": [*names], "Layers": paths[1:]}
    tags = [{IMAGE_NAME: complete, REF_NAME: complete.rpartition(":")[2]} for complete in names.values()]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**image, "annotations": tag} for tag in tags]}
    return {"manifest.json": json.dumps([item]), "index.json": json.dumps(index)}


def blob_name(digest: str) -> str:
    """The name of a blob in a layout: sha256:<hex> is blobs/sha256/<hex>."""
    return f"blobs/{digest.replace(':', '/')}"


def tar(entries: Mapping[str, bytes | Path], mode: int = 0o644) -> Iterator[bytes]:
    """A tar file with these files, in parts: an image of a gigabyte is neither copied to the disk nor held in memory.

    OSError for a file that cannot be read, ValueError for one that becomes shorter meanwhile.
    """
    for name, data in entries.items():
        info = tarfile.TarInfo(name)
        info.mode = mode
        info.size = len(data) if isinstance(data, bytes) else data.stat().st_size
        yield info.tobuf(tarfile.GNU_FORMAT)  # which has no limit of 8 GiB for a file
        if isinstance(data, bytes):
            yield data
        else:
            yield from _parts(data, info.size)
        yield bytes(-info.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _parts(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while size:
            part = file.read(min(size, CHUNK))
            if not part:
                raise ValueError(f"{path} became shorter while it was read")
            size -= len(part)
            yield part
