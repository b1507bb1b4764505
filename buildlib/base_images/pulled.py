"""A base image as its registry has it: for each platform the configuration and the layers. Each document is verified.

One manifest is read for each platform that is used, all concurrently; nothing of a layer is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from buildlib.base_images.platforms import serves
from buildlib.core.errors import BuildError, Refused
from buildlib.image_gate import manifests
from buildlib.image_gate.manifests import Configuration, Descriptor, Index, Manifest
from buildlib.registry.client import Client
from buildlib.registry.content import Repository, repository_of
from buildlib.registry.reference import parse

WORKERS = 8  # requests wait for the network


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The base image for one platform: the text of its configuration, and its layers, the lowest first."""

    name: str  # for messages
    repository: Repository
    configuration: bytes
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class BaseIndex:
    """What is under the name of a base image: the digest of the index, or of the manifest of a single image."""

    repository: Repository
    digest: str
    document: Index | Manifest


def index(client: Client, name: str) -> BaseIndex:
    """What the registry has under the name of a base image. Errors as of `Repository.manifest` and `manifests.read`."""
    reference = parse(name)
    repository = repository_of(client, reference)
    digest, data = repository.named(reference)
    return BaseIndex(repository, digest, manifests.read(data, name))


def images(base: BaseIndex, name: str, platforms: Iterable[str]) -> Mapping[str, BaseImage]:
    """The base image `name` for each platform.

    Raises:
        Refused: It lacks a platform, or the registry returns something else than a digest says.
        NetworkError, BuildError: The registry does not return a document, or one that is not what it should be.
    """
    wanted = tuple(platforms)
    if isinstance(base.document, Manifest):
        image = _image(base.repository, name, base.document)
        actual = manifests.decode(image.configuration, Configuration, f"{name}: invalid configuration").oci
        _require(name, wanted, (actual,))
        return dict.fromkeys(wanted, image)
    entries = {
        str(entry.platform): entry for entry in reversed(base.document.manifests) if entry.platform and entry.is_image
    }
    _require(name, wanted, entries)
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        chosen = [entries[serves(platform, entries)] for platform in wanted]
        return dict(zip(wanted, pool.map(lambda entry: _of_entry(base.repository, name, entry), chosen), strict=True))


def _require(name: str, wanted: Iterable[str], available: Iterable[str]) -> None:
    names = tuple(available)
    if missing := [platform for platform in wanted if not serves(platform, names)]:
        message = f"{name}: no image for {', '.join(missing)}; it is for {', '.join(sorted(names)) or 'no platform'}"
        raise Refused(message, "choose another base image, or leave out the arch")


def _of_entry(repository: Repository, name: str, entry: Descriptor) -> BaseImage:
    title = f"{name}: {entry.digest}"
    manifest = manifests.read(repository.manifest(entry.digest, entry.size), title)
    if isinstance(manifest, Index):
        raise BuildError(f"{title}: an index in an index, expected a manifest", manifests.HELP)
    return _image(repository, name, manifest)


def _image(repository: Repository, name: str, manifest: Manifest) -> BaseImage:
    for layer in manifest.layers:
        if layer.urls or any(word in (layer.media_type or "") for word in ("foreign", "nondistributable")):
            raise BuildError(f"{name}: layer {layer.digest}: must not be distributed", "choose another base image")
        if layer.size is None:
            raise BuildError(f"{name}: layer {layer.digest}: the manifest does not state its size", manifests.HELP)
    configuration = repository.document(manifest.config.digest, manifest.config.size)
    return BaseImage(name, repository, configuration, manifest.layers)
