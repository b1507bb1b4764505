"""What refers to an image in its repository: signatures, attestations. They are found by the digest of the image.

Registries list referrers themselves (OCI distribution specification 1.1, "Listing Referrers"); in those that do not, clients keep the
list under the tag `sha256-<hex>` ("Referrers Tag Schema").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from buildlib.core.errors import BuildError
from buildlib.registry.content import Repository, read_manifest, require_success
from buildlib.registry.digests import digest_of, is_known
from buildlib.registry.http import Answer, Request
from buildlib.registry.origins import join, origin_of
from buildlib.registry.uploads import push_blob, push_manifest

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE, EMPTY = (
    "application/vnd.oci.empty.v1+json",
    b"{}",
)  # "Guidance for an Empty Descriptor" of the image specification
MAX_PAGES = 20  # of a list; Docker Hub has a hundred entries a page
TRIES = 5  # to add to the list under the tag, while others add to it as well


class Referrer(Struct, frozen=True, rename="camel", kw_only=True):
    """The entry of a manifest that refers to an image: an OCI descriptor."""

    media_type: str = MANIFEST
    digest: str
    size: int = 0
    artifact_type: str = ""
    annotations: dict[str, str] | None = None


class _Index(Struct, rename="camel"):
    manifests: tuple[Referrer, ...] | None = None  # registries in Go write an empty list as null


class _Manifest(Struct):
    layers: tuple[Referrer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The image, or index, that is referred to."""

    digest: str
    media_type: str
    size: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What is to refer to an image: one blob, and annotations that say what it is."""

    media_type: str
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Referrers:
    """What refers to one image. `is_listed`: the registry lists referrers itself."""

    entries: tuple[Referrer, ...]
    is_listed: bool


def referrers(repository: Repository, digest: str, *, current: bool = False) -> Referrers:
    """List what refers to an image, without reading it. The list is untrusted: anyone who may push can add to it.

    `current` asks the registry itself, not its mirrors, which may have an old list.

    Raises:
        NetworkError, BuildError: The registry does not answer, or with something that is not a list.
    """
    title, path = f"referrers of {repository}@{digest}", f"/v2/{repository.name}/referrers/{digest}"
    entries: list[Referrer] = []
    for _ in range(MAX_PAGES):
        request, answer = _get(repository, path, current=current)
        if not _is_list(answer):
            tagged = _tagged(repository, digest, current=current)
            return Referrers(_entries(tagged, title) if tagged else (), is_listed=False)
        require_success(answer, title, request.title)
        following = join(request.url, answer.received.links.get("next", {}).get("url", ""))
        entries += _entries(read_manifest(repository.client.read(request, answer), answer, title), title)
        if following == request.url or origin_of(following) != request.origin:  # none, or at another host
            break
        path = urlunsplit(urlsplit(following)._replace(scheme="", netloc=""))
    return Referrers(tuple(entries), is_listed=True)


def _get(repository: Repository, path: str, *, current: bool) -> tuple[Request, Answer]:
    client, headers = repository.client, {"Accept": INDEX}
    if not current:
        return client.reach("GET", repository.registry, path, headers)
    (host,) = client.hosts(repository.registry, reading=False)
    request = Request(method="GET", host=host, path=path, headers=headers)
    return request, client.request(request)


def _is_list(answer: Answer) -> bool:
    """Whether the registry knows the request. Those that do not answer 404, others 400 or 405, or with an HTML page."""
    if answer.failure or answer.status in (401, 403):
        return True  # an error of its own
    is_list = answer.status == 200 and answer.received.headers.get("Content-Type", "").partition(";")[0] == INDEX
    if not is_list:
        answer.received.close()
    return is_list


def _tag(digest: str) -> str:
    return digest.replace(":", "-", 1)


def _tagged(repository: Repository, digest: str, *, current: bool) -> bytes:
    """The list under the tag, b"" without one."""
    title = f"{repository}:{_tag(digest)}"
    request, answer = _get(repository, f"/v2/{repository.name}/manifests/{_tag(digest)}", current=current)
    if answer.status == 404:
        answer.received.close()
        return b""
    require_success(answer, title, request.title)
    return read_manifest(repository.client.read(request, answer), answer, title)


def _entries(data: bytes, title: str) -> tuple[Referrer, ...]:
    try:
        found = msgspec.json.decode(data, type=_Index).manifests or ()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BuildError(f"{title}: not an index: {error}") from None
    return tuple(entry for entry in found if is_known(entry.digest))


def read(repository: Repository, referrer: Referrer, limit: int) -> tuple[str, bytes]:
    """The media type and the content of the blob that refers to an image, of at most `limit` bytes.

    Raises:
        NetworkError, BuildError, Refused: as for `Repository`; BuildError as well if it has no blob.
    """
    title = f"{repository}@{referrer.digest}"
    try:
        manifest = msgspec.json.decode(repository.manifest(referrer.digest), type=_Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BuildError(f"{title}: not a manifest: {error}") from None
    if not manifest.layers:
        raise BuildError(f"{title}: a manifest without layers")
    layer = manifest.layers[0]
    return layer.media_type, b"".join(repository.blob(layer.digest, layer.size, limit))


def attach(repository: Repository, subject: Subject, artifacts: Sequence[Artifact], *, is_listed: bool) -> None:
    """Upload artifacts that refer to an image. `is_listed` is that of its `Referrers`.

    Raises:
        NetworkError, BuildError: The registry refuses them, or does not answer.
    """
    added = []
    push_blob(repository, EMPTY, digest_of(EMPTY))
    for artifact in artifacts:
        push_blob(repository, artifact.content, digest_of(artifact.content))
        manifest = _manifest(subject, artifact)
        push_manifest(repository, digest_of(manifest), manifest, MANIFEST)
        added.append(
            Referrer(
                digest=digest_of(manifest), size=len(manifest), artifact_type=artifact.media_type,
                annotations=dict(artifact.annotations),
            )
        )  # fmt: skip
    if not is_listed:
        _add(repository, subject.digest, added)


def _add(repository: Repository, digest: str, added: Sequence[Referrer]) -> None:
    """Add entries to the list under the tag. It has no locks: what another client has overwritten meanwhile is added again."""
    title = f"{repository}:{_tag(digest)}"
    for _ in range(TRIES):
        data = _tagged(repository, digest, current=True)
        present = {entry.digest for entry in _entries(data, title)} if data else set()
        missing = [msgspec.to_builtins(one) for one in added if one.digest not in present]
        if not missing:
            return
        # What others have written there stays as it is.
        index: dict[str, Any] = json.loads(data) if data else {"schemaVersion": 2, "mediaType": INDEX}
        index["manifests"] = sorted([*(index.get("manifests") or ()), *missing], key=lambda entry: str(entry["digest"]))
        push_manifest(repository, _tag(digest), json.dumps(index, separators=(",", ":")).encode(), INDEX)
    message = f"{title}: the list of signatures does not keep what is added to it"
    raise BuildError(message, "let nothing else sign the same image at the same time")


def _manifest(subject: Subject, artifact: Artifact) -> bytes:
    def descriptor(media_type: str, data: bytes) -> dict[str, object]:
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    about = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size}
    data = {
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact.media_type,
        "config": descriptor(EMPTY_TYPE, EMPTY), "layers": [descriptor(artifact.media_type, artifact.content)],
        "subject": about, "annotations": dict(artifact.annotations),
    }  # fmt: skip
    return json.dumps(data, separators=(",", ":"), sort_keys=True).encode()
