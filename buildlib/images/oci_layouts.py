"""OCI image layouts on disk, and images of static binaries that are made without Docker."""

from __future__ import annotations

import filecmp
import hashlib
from collections.abc import Iterable
from pathlib import Path

from buildlib.core.plan import OciLayout, Status
from buildlib.images import contents, oci
from buildlib.images.spec import ImageResult, ImageSpec
from buildlib.process.context import Context
from buildlib.process.files import blob_files, blob_path, read_text
from buildlib.registry.digests import is_known


def write_static(context: Context, images: Iterable[ImageSpec], epoch: int, output: Path) -> list[ImageResult]:
    """Write a layout of static binaries for each image, in its own directory below `output`.

    `epoch` is the time of everything in the image, in seconds since 1970.
    """
    results = []
    for image in images:
        runtime = image.stage.runtime
        owned = contents.owned(contents.contents(context.workspace.root, image.component.name, image.stage))
        layers = {
            target.oci: oci.root_layer(runtime, (context.dist / entry["path"]).read_bytes(), owned, epoch)
            for target, entry in image.entries.items()
        }
        blobs = {digest: path.read_bytes() for digest, path in blob_files(output / image.component.name).items()}
        results.append(write(context, image, oci.image(layers, runtime, epoch, oci.compressed_layers(blobs)), output))
    return results


def write(context: Context, image: ImageSpec, data: oci.Image, output: Path) -> ImageResult:
    """Write the layout `output`/<component>, unless it already contains this image."""
    folder, index = output / image.component.name, oci.layout_index(data, image.tags)
    same = read_text(folder / "index.json").encode() == index
    same = same and all(_is_there(blob_path(folder, digest), blob) for digest, blob in data.blobs.items())
    if not same:
        context.run(OciLayout(folder=folder, blobs=data.blobs, index=index))
    return ImageResult(
        component=image.component.name, status=Status.UNCHANGED if same else Status.DONE, platforms=image.platforms,
        tags=image.tags, where=str(folder), digest=data.digest,
    )  # fmt: skip


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
