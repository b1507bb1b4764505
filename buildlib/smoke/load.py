"""Load an image into a daemon under a temporary name, and remove it again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from buildlib.core.errors import BuildError
from buildlib.core.targets import Target
from buildlib.image_gate import manifests
from buildlib.image_gate.manifests import Manifest
from buildlib.smoke import archive
from buildlib.smoke.containers import Daemon, sdk_errors

Blobs = Mapping[str, bytes | Path]  # digest -> content, or the file with it
REPOSITORY = "localhost/buildlib-smoke"  # the complete name: Docker adds its own registry to others
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MAX_MANIFEST = 4 << 20  # bytes; registries have the same limit


@contextmanager
def loaded(daemon: Daemon, blobs: Blobs, digest: str, target: Target) -> Iterator[str]:
    """Load the image with this manifest, yield its ID, and leave the daemon with the images that it had before.

    BuildError for blobs that are not those of one image, an error of `sdk_errors` if the daemon does not take it.
    """
    # The classic store knows an image by its configuration, which names its layers, containerd's by its manifest.
    ids = (_manifest(blobs, digest).config.digest, digest)
    if known := _without_name(daemon, ids):
        yield known
        return
    # A name of its own for each platform and each use: loading another image under a name moves the name.
    name = f"{REPOSITORY}:{secrets.token_hex(8)}-{target.name}"
    parts = image_archive(blobs, digest, name)
    try:
        _load(daemon, parts)
        actual = daemon.client.images.get(name).id
        if actual not in ids:
            raise BuildError(f"the Docker daemon has loaded {actual}, expected {' or '.join(ids)}")
        yield actual
    finally:
        with suppress(*sdk_errors()):
            daemon.client.images.remove(name, force=True)


def image_archive(blobs: Blobs, digest: str, name: str) -> Iterator[bytes]:
    """What `docker load` reads: the blobs of the image with this manifest, and the documents that give it the name.

    `name` is complete: it begins with a registry. BuildError for blobs that are not those of one image.
    """
    manifest, text = _manifest(blobs, digest), _read(blobs, digest)
    media_type = json.loads(text).get("mediaType") or MANIFEST
    descriptor: dict[str, Any] = {"mediaType": media_type, "digest": digest, "size": len(text)}
    config, layers = manifest.config.digest, [layer.digest for layer in manifest.layers]
    documents = archive.loadable(descriptor, config, layers, {name: name})
    documents["oci-layout"] = archive.LAYOUT_VERSION
    needed = dict.fromkeys((digest, config, *layers))  # an image may have the same layer twice
    if absent := [blob for blob in needed if blob not in blobs]:
        raise _missing(absent[0])
    files = {archive.blob_name(blob): blobs[blob] for blob in needed}
    return archive.tar({name: text.encode() for name, text in documents.items()} | files)


def _without_name(daemon: Daemon, ids: tuple[str, ...]) -> str:
    """The ID of the image if the daemon has it without a name, else "".

    Under a temporary name it would disappear with that name.
    """
    from docker.errors import NotFound

    for id_ in ids:
        with suppress(NotFound):
            image = daemon.client.images.get(id_)
            if image.id in ids and not image.attrs.get("RepoTags"):
                return str(image.id)
    return ""


def _manifest(blobs: Blobs, digest: str) -> Manifest:
    manifest = manifests.read(_read(blobs, digest), digest)
    if not isinstance(manifest, Manifest):
        raise BuildError(f"{digest} is an index of images, expected the manifest of one image")
    return manifest


def _read(blobs: Blobs, digest: str) -> bytes:
    """A manifest. BuildError if it is not among the blobs."""
    data = blobs.get(digest)
    if isinstance(data, bytes):
        return data
    try:
        if data is None:
            raise _missing(digest)
        with data.open("rb") as file:
            return file.read(MAX_MANIFEST)
    except OSError:
        raise _missing(digest) from None


def _missing(digest: str) -> BuildError:
    return BuildError(f"the image layout has no blob {digest}", "build the image again")


def _load(daemon: Daemon, parts: Iterator[bytes]) -> None:
    """Send an archive to the daemon. An error of `sdk_errors` if it does not load it, Interrupted if the command is."""
    from docker.errors import ImageLoadError

    def checked() -> Iterator[bytes]:
        for part in parts:
            daemon.check()
            yield part

    for answer in daemon.client.api.load_image(checked()):
        if "errorDetail" in answer:
            raise ImageLoadError(answer["errorDetail"]["message"])
