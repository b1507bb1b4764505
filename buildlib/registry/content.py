"""Manifests, configurations and layers of a registry, verified while they are read (`digests`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from buildlib.core.errors import BuildError, NetworkError, Refused
from buildlib.registry.client import MANIFESTS, Client
from buildlib.registry.digests import HELP, MAX_DOCUMENT, MAX_LAYER, check_claims, digest_of, is_known, verified
from buildlib.registry.http import Answer, denial
from buildlib.registry.reference import Reference

SIGNED_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"  # its digest is that of a part of it


def read_manifest(
    chunks: Iterable[bytes], answer: Answer, title: str, digest: str = "", size: int | None = None
) -> bytes:
    """A manifest, verified against `digest`; without one, against the digest that the answer states, if it does.

    Some registries state it without the algorithm, which says nothing that can be verified.

    Raises:
        Refused: as for `verified`.
    """
    headers = answer.received.headers
    stated = headers.get("Docker-Content-Digest", "")
    if not digest and is_known(stated) and headers.get("Content-Type") != SIGNED_SCHEMA_1:
        digest = stated
    if digest:
        return b"".join(verified(chunks, title, digest, size, MAX_DOCUMENT))
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > MAX_DOCUMENT:
            raise Refused(f"{title}: more than {MAX_DOCUMENT} bytes, expected at most {MAX_DOCUMENT}", HELP)
    return bytes(data)


def require_success(answer: Answer, title: str, request: str) -> None:
    """Raise the error of an answer that is not a success; `title` and `request` are the names of both in messages.

    Raises:
        NetworkError, BuildError: The registry does not have it, refuses it, or does not answer.
    """
    if answer.failure:
        raise answer.failure.error(f"{title}: {answer.failure.cause}", answer.failure.help, answer.failure.kind)
    if answer.status == 404:
        answer.received.close()
        raise BuildError(f"{title}: not found")
    if answer.status != 200:
        with answer.received as response:
            refusal = denial(response, request)
        error = refusal.error if answer.status in (401, 403) else BuildError
        raise error(f"{title}: {refusal.cause}", refusal.help)


def repository_of(client: Client, reference: Reference) -> Repository:
    """The repository that a reference is in."""
    return Repository(client, reference.registry, reference.repository)


@dataclass(frozen=True)
class Repository:
    """A repository in its registry.

    NetworkError or BuildError if the registry does not return what is asked for, Refused if it is something else.
    """

    client: Client
    registry: str
    name: str

    def manifest(self, version: str, size: int | None = None) -> bytes:
        """The manifest or index under a tag or digest. `size` is in bytes, None if it is not known."""
        digest = version if ":" in version else ""
        title, answer, chunks = self._get(f"manifests/{version}", size, MAX_DOCUMENT)
        return read_manifest(chunks, answer, title, digest, size)

    def named(self, reference: Reference) -> tuple[str, bytes]:
        """The digest and the content of the manifest or index that a reference to this repository means."""
        data = self.manifest(reference.version)
        return reference.digest or digest_of(data), data

    def document(self, digest: str, size: int | None = None) -> bytes:
        """A configuration. `size` is in bytes, None if it is not known."""
        return b"".join(self.blob(digest, size, MAX_DOCUMENT))

    def blob(self, digest: str, size: int | None = None, limit: int = MAX_LAYER) -> Iterator[bytes]:
        """A blob in chunks, of which none may be used before the last. `size` and `limit` are in bytes."""
        title, _, chunks = self._get(f"blobs/{digest}", size, limit)
        yield from verified(chunks, title, digest, size, limit)

    def _get(self, path: str, size: int | None, limit: int) -> tuple[str, Answer, Iterator[bytes]]:
        """The reference for messages, the answer of the registry, and its content, which is read as it arrives."""
        version = path.partition("/")[2]
        title = f"{self}{'@' if ':' in version else ':'}{version}"
        if ":" in version:
            check_claims(title, version, size, limit)
        request, answer = self.client.reach("GET", self.registry, f"/v2/{self.name}/{path}", {"Accept": MANIFESTS})
        require_success(answer, title, request.title)
        length = answer.received.headers.get("Content-Length", "")
        if size is not None and length.isdecimal() and length != str(size):
            answer.received.close()
            raise Refused(f"{title}: {length} bytes, expected {size}", HELP)
        return title, answer, self._chunks(title, self.client.read(request, answer))

    def _chunks(self, title: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except OSError as error:
            raise NetworkError(f"{title}: {error}", "check the network: buildlib doctor --network") from None

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"
