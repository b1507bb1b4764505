"""OCI image layouts on disk."""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
from collections.abc import Mapping
from pathlib import Path

from buildlib.assembly import oci
from buildlib.assembly.spec import ImageResult, ImageSpec
from buildlib.core.errors import BuildError
from buildlib.core.plan import OciLayout, Status
from buildlib.image_gate import manifests
from buildlib.image_gate.manifests import Manifest
from buildlib.process.context import Context
from buildlib.process.files import blob_path, read_text
from buildlib.registry.digests import is_known


def write(context: Context, image: ImageSpec, data: oci.Image, output: Path) -> ImageResult:
    """Write the layout `output`/<component>, unless it already contains this image."""
    folder, index = output / image.name, oci.layout_index(data, image.tags)
    same = read_text(folder / "index.json").encode() == index
    same = same and all(_is_there(blob_path(folder, digest), blob) for digest, blob in data.blobs.items())
    if not same:
        context.run(OciLayout(folder=folder, blobs=data.blobs, index=index))
    return ImageResult(
        component=image.name, status=Status.UNCHANGED if same else Status.DONE, platforms=image.platforms,
        tags=image.tags, where=str(folder), digest=data.digest, layers=layers(data.index, data.blobs),
        images=manifests.index_of(data.index.decode()).images,
    )  # fmt: skip


def layers(index: bytes, blobs: Mapping[str, bytes | Path]) -> dict[str, tuple[tuple[str, int], ...]]:
    """The layers of each image of an index, as digests and stored bytes; an image that `blobs` lacks is left out."""
    found = {}
    for platform, digest in manifests.index_of(index.decode()).images.items():
        blob = blobs.get(digest, b"")
        with contextlib.suppress(BuildError):
            manifest = manifests.read(read_text(blob) if isinstance(blob, Path) else blob, digest)
            if isinstance(manifest, Manifest):
                found[platform] = manifest.sizes
    return found


def _is_there(path: Path, blob: bytes | Path) -> bool:
    """Whether a layout has this blob. If it is the layout's own file, that was verified."""
    if not path.is_file() or path == blob:
        return path == blob
    return path.read_bytes() == blob if isinstance(blob, bytes) else filecmp.cmp(path, blob, shallow=False)


def is_intact(folder: Path, digest: str) -> bool:
    """Whether the layout contains a blob, and the blob is what its digest says."""
    path = blob_path(folder, digest)
    if not is_known(digest) or not path.is_file():
        return False
    algorithm, _, encoded = digest.partition(":")
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest() == encoded
