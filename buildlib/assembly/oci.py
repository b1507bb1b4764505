"""Documents of the OCI image specification 1.1, and how the container of an image runs.

Pure: the same input gives the same bytes. Names are sorted, and gzip headers have no time.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from buildlib.registry.digests import digest_of
from buildlib.smoke.archive import INDEX, REF_NAME

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
# An id that is neither root nor a user of the host; distroless images use it too, and call it nonroot.
USER = 65532
USER_AND_GROUP = f"{USER}:{USER}"
# In the header of a gzip file. Python 3.11 and 3.12 would write 3, for Unix, and all others this.
UNKNOWN_SYSTEM = b"\xff"
LEVEL = 4  # of gzip: the layer of a program is 4 % larger than with 6, and done in less than half of the time

Json = dict[str, Any]
digest = digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How a container of the image runs."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()  # arguments
    user: str = USER_AND_GROUP  # as numbers
    workdir: str = ""  # "" is that of the base image, and / without one
    ports: tuple[int, ...] = ()  # TCP
    health: tuple[str, ...] = ()  # the command line of the health check
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()  # directories that it may write to
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A multi-platform image: its index, and every blob by digest, as bytes or as the file that contains it."""

    index: bytes
    blobs: Mapping[str, bytes | Path]  # the index is one of them

    @property
    def digest(self) -> str:
        """The digest of the index, which identifies the image."""
        return digest(self.index)


def with_index(entries: list[Json], blobs: Mapping[str, bytes | Path], annotations: Mapping[str, str]) -> Image:
    """The image whose index has `entries`: the descriptors of the manifests in `blobs`, with their platforms."""
    index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": dict(annotations)})
    return Image(index=index, blobs={**blobs, digest(index): index})


def compressed(tar: bytes) -> bytes:
    """A layer as gzip: the same bytes at any time and from every version of Python."""
    data = gzip.compress(tar, LEVEL, mtime=0)
    return data[:9] + UNKNOWN_SYSTEM + data[10:]


def platform_of(name: str) -> Json:
    """The platform as OCI documents write it: linux/arm/v7 is {"os": "linux", "architecture": "arm", "variant": "v7"}."""
    return dict(zip(("os", "architecture", "variant"), name.split("/"), strict=False))


def timestamp(epoch: int) -> str:
    """`epoch`, in seconds since 1970, as RFC 3339 in UTC."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def layout_index(image: Image, tags: Iterable[str]) -> bytes:
    """The index.json of a layout that contains `image` under `tags`."""
    entry = {"mediaType": INDEX, "digest": image.digest, "size": len(image.index)}
    manifests = [entry | {"annotations": {REF_NAME: tag}} for tag in tags]
    return _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def _json(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def go_json(data: Any, *, indent: int | None = None) -> bytes:
    """JSON as Go's encoding/json writes it, which escapes what has a meaning in HTML."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(data, separators=separators, indent=indent, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()
