"""The images in an OCI image layout on the disk. Every blob is verified against its digest before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from buildlib.core.errors import BuildError, Refused
from buildlib.image_gate import manifests
from buildlib.image_gate.check import ImageContent, check_platforms
from buildlib.image_gate.manifests import Configuration, Descriptor, Index, Platform
from buildlib.image_layers.file_system import Layer
from buildlib.process.files import blob_path
from buildlib.registry.digests import MAX_DOCUMENT, MAX_LAYER, check_claims, verified

HELP = "write the layout again"
CHUNK = 1 << 20  # bytes


def read_layout(folder: Path, digest: str) -> dict[str, ImageContent]:
    """The images under the digest of an index or of a manifest, by the platform that the index states for them.

    An image without an index, or without a platform there, has the platform of its configuration. Layers are verified when they are
    opened for the first time, which may raise the same errors.

    Raises:
        Refused: a blob is not what its digest and size say, or the index has two images for one platform.
        BuildError: a blob is missing, or is not a manifest.
    """
    title = f"{folder}: {digest}"
    document = manifests.read(_document(folder, Descriptor(digest)), title)
    if not isinstance(document, Index):
        return dict([_image(folder, Descriptor(digest), None)])
    entries = [entry for entry in document.manifests if entry.is_image]
    if not entries:
        raise BuildError(f"{title}: the index contains no image", manifests.HELP)
    images = [_image(folder, entry, entry.platform) for entry in dict.fromkeys(entries)]
    if repeated := check_platforms(platform for platform, _ in images):
        raise Refused(f"{title}: {repeated[0]}", HELP)
    return dict(images)


def _image(folder: Path, entry: Descriptor, platform: Platform | None) -> tuple[str, ImageContent]:
    title = f"{folder}: {entry.digest}"
    manifest = manifests.read(_document(folder, entry), title)
    if isinstance(manifest, Index):
        raise BuildError(f"{title}: an index in an index, expected a manifest", manifests.HELP)
    data = _document(folder, manifest.config)
    config = manifests.decode(data, Configuration, f"{folder}: {manifest.config.digest}: invalid configuration")
    layers = [Layer(layer.digest, _opener(folder, layer)) for layer in manifest.layers]
    stated = platform.oci if platform and platform.os and platform.architecture else config.oci
    return stated, ImageContent(config, layers)


def _document(folder: Path, blob: Descriptor) -> bytes:
    return b"".join(_verified(folder, blob, MAX_DOCUMENT))


def _opener(folder: Path, layer: Descriptor) -> Callable[[], BinaryIO]:
    """A function that opens a layer, and that verifies it when it is called first."""
    known: list[bool] = []

    def open_layer() -> BinaryIO:
        if not known:
            for _ in _verified(folder, layer, MAX_LAYER):
                pass
            known.append(True)
        return blob_path(folder, layer.digest).open("rb")

    return open_layer


def _verified(folder: Path, blob: Descriptor, limit: int) -> Iterator[bytes]:
    """The content of a blob in chunks, of which none may be used before the last."""
    title = f"{folder}: {blob.digest}"
    try:
        check_claims(title, blob.digest, blob.size, limit)
        with blob_path(folder, blob.digest).open("rb") as stream:
            yield from verified(iter(lambda: stream.read(CHUNK), b""), title, blob.digest, blob.size, limit)
    except FileNotFoundError:
        raise BuildError(f"{title}: not in the layout", HELP) from None
    except OSError as error:
        raise BuildError(f"{title}: {error.strerror}", HELP) from None
    except Refused as error:
        raise Refused(error.message, HELP) from None
