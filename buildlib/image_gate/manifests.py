"""Manifests, indexes and configurations of images, read into types. Pure.

They come from registries and from buildx, so every field is checked. Only the fields that buildlib needs are required, and null
counts as missing, because the Go programs that write them also write null. Fields: OCI image specification 1.1.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from buildlib.builder.buildx import BASES, INPUTS
from buildlib.core.errors import BuildError

HELP = "push the image again with a current version of Docker, Podman or buildlib"
# Docker 1.10 (2016) replaced schema 1, whose manifests have no `config`.
SCHEMA_1_HELP = "build and push the image again: registries and Docker no longer support schema 1"

# As containerd reads them (`normalizeArch` in containerd/platforms).
VARIANTS = {"linux/arm64/v8": "linux/arm64", "linux/arm": "linux/arm/v7", "linux/amd64/v1": "linux/amd64"}
T = TypeVar("T")


class Platform(Struct, frozen=True):
    """The platform of an image. Attestations have unknown/unknown."""

    os: str | None = None
    architecture: str | None = None
    variant: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def oci(self) -> str:
        """The name as in `Target.oci`: linux/arm64/v8 is linux/arm64."""
        return VARIANTS.get(str(self), str(self))


class Descriptor(Struct, frozen=True):
    """A reference to a blob or a manifest by its digest."""

    digest: Annotated[str, Meta(pattern=r"^[a-z0-9]+([+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+\Z")]
    size: Annotated[int, Meta(ge=0)] | None = None  # bytes; all current tools state it
    platform: Platform | None = None
    media_type: str | None = msgspec.field(default=None, name="mediaType")
    urls: tuple[str, ...] | None = None  # from where a layer is downloaded that registries must not distribute

    @property
    def is_image(self) -> bool:
        """False for an attestation."""
        return self.platform is None or self.platform.os != "unknown"


class Index(Struct, frozen=True):
    """Several images, one per platform."""

    manifests: tuple[Descriptor, ...] = ()
    annotations: dict[str, str] | None = None

    @property
    def images(self) -> dict[str, str]:
        """Platform -> digest, without attestations."""
        return {(entry.platform or Platform()).oci: entry.digest for entry in self.manifests if entry.is_image}

    @property
    def inputs(self) -> str:
        """The digest of what the image was made from, "" if the index does not say."""
        return (self.annotations or {}).get(INPUTS, "")

    @property
    def bases(self) -> dict[str, str]:
        """The base images that the image was made from, and their digests; {} if the index does not say."""
        words = (self.annotations or {}).get(BASES, "").split()
        return {name: digest for name, _, digest in (word.rpartition("@") for word in words) if name}


class Manifest(Struct, frozen=True):
    """One image."""

    config: Descriptor
    layers: tuple[Descriptor, ...] = ()

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Digest and stored bytes of each layer, the lowest first; 0 bytes where the manifest does not say."""
        return tuple((layer.digest, layer.size or 0) for layer in self.layers)


class Process(Struct, frozen=True, rename="pascal"):
    """What a container of the image starts."""

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    working_dir: str | None = None


class Configuration(Platform, frozen=True):
    """The configuration of one image."""

    config: Process | None = None


class _Document(Struct, frozen=True):
    schema: Any = msgspec.field(default=None, name="schemaVersion")
    manifests: tuple[Descriptor, ...] | None = None
    annotations: dict[str, str] | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None


def decode(data: str | bytes, kind: type[T], title: str) -> T:
    """`data`, which is JSON, as a `kind`. BuildError that begins with `title` for anything else."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BuildError(f"{title}: {error}", HELP) from None


def read(data: str | bytes, where: str) -> Index | Manifest:
    """The index or manifest that a registry has under the name `where`. BuildError for anything else."""
    document = decode(data, _Document, f"{where}: invalid manifest")
    if document.schema == 1:
        raise BuildError(f"{where}: manifest of schema 1, expected schema 2 or an OCI manifest", SCHEMA_1_HELP)
    if document.manifests is not None:
        if document.config or document.layers is not None:  # engines differ in what they start (CVE-2021-41190)
            raise BuildError(f"{where}: invalid manifest: an index with `config` or `layers`", HELP)
        return Index(manifests=document.manifests, annotations=document.annotations)
    if document.config is not None:
        return Manifest(config=document.config, layers=document.layers or ())
    raise BuildError(f"{where}: invalid manifest: neither `manifests` nor `config`", HELP)


def index_of(text: str) -> Index:
    """The index in `text`; an empty one if it is anything else, such as the manifest of one image."""
    try:
        document = read(text, "")
    except BuildError:
        return Index()
    return document if isinstance(document, Index) else Index()
