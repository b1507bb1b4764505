"""An image that no container engine has made, and its upload: blobs, manifests, index, and the tags last.

What a tag points to was read back from the registry before: a command that ends anywhere in between leaves every tag where it was.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from buildlib.assembly import index, oci
from buildlib.core.errors import BuildError, NetworkError
from buildlib.image_gate.manifests import Descriptor
from buildlib.image_layers.file_system import Layer
from buildlib.registry import uploads
from buildlib.registry.blob_copies import BlobCopies, Source
from buildlib.registry.content import Repository
from buildlib.smoke.archive import INDEX

UPLOADS = 4  # concurrent ones of one image: a connection waits most of the time
# Docker's media types of layers, and the specification's, which BuildKit writes instead.
MEDIA_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": oci.LAYER,
    "application/vnd.docker.image.rootfs.diff.tar": oci.LAYER.removesuffix("+gzip"),
    "application/vnd.docker.image.rootfs.diff.tar.zstd": oci.LAYER.replace("+gzip", "+zstd"),
}


@dataclass(frozen=True, kw_only=True)
class PlatformImage:
    """The image for one platform ("linux/arm/v7")."""

    platform: str
    base: tuple[tuple[Descriptor, Source], ...]  # the layers of the base image, the lowest first
    layers: tuple[bytes, ...]  # those on it, compressed
    configuration: bytes

    @cached_property
    def manifest(self) -> bytes:
        """The text of the manifest."""
        base = [
            {"mediaType": _media_type(layer), "digest": layer.digest, "size": layer.size}
            for layer, _ in self.base
        ]  # fmt: skip
        own = [_descriptor(oci.LAYER, layer) for layer in self.layers]
        config = _descriptor(oci.CONFIG, self.configuration)
        return oci.go_json(
            {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": [*base, *own]}, indent=2
        )

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Digest and stored bytes of each layer, the lowest first."""
        base = ((layer.digest, layer.size or 0) for layer, _ in self.base)
        return (*base, *((oci.digest(data), len(data)) for data in self.layers))

    @property
    def content(self) -> tuple[Layer, ...]:
        """The layers as files of this machine, the lowest first."""
        own = (Layer(oci.digest(data), partial(io.BytesIO, data)) for data in self.layers)
        return (*(Layer(layer.digest, source.open) for layer, source in self.base), *own)

    @property
    def blobs(self) -> dict[str, bytes]:
        """What is only here, by digest: the layers that were made, and the configuration."""
        return {oci.digest(data): data for data in (*self.layers, self.configuration)}


@dataclass(frozen=True, kw_only=True)
class DirectImage:
    """The image for all platforms. `annotations` are those of the index."""

    images: tuple[PlatformImage, ...]
    annotations: Mapping[str, str]

    @cached_property
    def index(self) -> bytes:
        """The text of the index."""
        entries = (entry for image in self.images for entry in index.entries_of(image.manifest, image.platform))
        return index.index(entries, self.annotations)

    @property
    def digest(self) -> str:
        """The digest of the index, which identifies the image."""
        return oci.digest(self.index)

    def layout(self) -> oci.Image:
        """The image with all its blobs, for a layout. The layers of base images are files of this machine."""
        blobs: dict[str, bytes | Path] = {oci.digest(image.manifest): image.manifest for image in self.images}
        for image in self.images:
            blobs |= image.blobs | {layer.digest: source.file() for layer, source in image.base}
        return oci.Image(index=self.index, blobs={**blobs, self.digest: self.index})

    @property
    def sizes(self) -> dict[str, tuple[tuple[str, int], ...]]:
        """The layers of each platform's image, as digests and stored bytes."""
        return {image.platform: image.sizes for image in self.images}


def _media_type(layer: Descriptor) -> str:
    known = layer.media_type or oci.LAYER
    return MEDIA_TYPES.get(known, known)


def _descriptor(media_type: str, data: bytes) -> oci.Json:
    return {"mediaType": media_type, "digest": oci.digest(data), "size": len(data)}


def tagged(repository: Repository, tag: str) -> str:
    """The manifest or index under a tag of an own image, byte for byte; "" if there is none, or none is shown before the first push.

    Raises:
        NetworkError: The registry does not answer.
        Refused: It returns something else than it says.
    """
    try:
        return repository.manifest(tag).decode("utf-8", "replace")
    except BuildError as error:
        if isinstance(error, NetworkError) or error.kind == "refused":
            raise
        return ""


def upload(repository: Repository, image: DirectImage, copies: BlobCopies) -> None:
    """Upload an image by digest, and read its manifests and its index back.

    Raises:
        NetworkError, BuildError: A registry refuses something, or does not answer.
        Refused: What is read back is something else.
    """
    blobs = {digest: data for one in image.images for digest, data in one.blobs.items()}
    sources = {layer.digest: source for one in image.images for layer, source in one.base}
    _concurrently(
        (
            *(partial(copies.provide, repository, source) for source in sources.values()),
            *(partial(uploads.push_blob, repository, data, digest) for digest, data in blobs.items()),
        )
    )
    documents = [one.manifest for one in image.images]
    _concurrently(partial(_put, repository, data, oci.MANIFEST) for data in documents)
    _put(repository, image.index, INDEX)


def _put(repository: Repository, data: bytes, media_type: str) -> None:
    """Put a document under its digest, against which it is verified when it is read back."""
    digest = oci.digest(data)
    uploads.push_manifest(repository, digest, data, media_type)
    repository.manifest(digest, len(data))


def move_tags(repository: Repository, index: bytes, tags: Iterable[str]) -> None:
    """Let tags point to an index that was uploaded and checked. Errors as of `uploads.push_manifest`."""
    for tag in tags:
        uploads.push_manifest(repository, tag, index, INDEX)


def _concurrently(tasks: Iterable[Callable[[], object]]) -> None:
    """Run the tasks. The error of the first that fails; those that have not begun then are not run."""
    with ThreadPoolExecutor(max_workers=UPLOADS) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
