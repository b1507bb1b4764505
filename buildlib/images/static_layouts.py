"""Layouts of static binaries, which need no Docker."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from buildlib.assembly import oci, oci_layouts
from buildlib.assembly.spec import ImageResult
from buildlib.images import contents
from buildlib.images.binary_image import BinaryImage
from buildlib.process.context import Context
from buildlib.process.files import blob_files


def write_static(context: Context, images: Iterable[BinaryImage], epoch: int, output: Path) -> list[ImageResult]:
    """Write a layout of static binaries for each image, in its own directory below `output`.

    `epoch` is the time of everything in the image, in seconds since 1970.
    """
    results = []
    for image in images:
        runtime = image.stage.runtime
        owned = contents.owned(contents.contents(context.workspace.root, image.name, image.stage))
        layers = {
            target.oci: oci.root_layer(runtime, (context.dist / entry["path"]).read_bytes(), owned, epoch)
            for target, entry in image.entries.items()
        }
        blobs = {digest: path.read_bytes() for digest, path in blob_files(output / image.name).items()}
        results.append(
            oci_layouts.write(context, image, oci.image(layers, runtime, epoch, oci.compressed_layers(blobs)), output)
        )
    return results
