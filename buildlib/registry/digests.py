"""Verify content against its digest and its size, while it is read.

A registry, a mirror or a proxy in front of it can return anything. Only a digest says what is right. Model: go-containerregistry,
pkg/v1/remote/fetcher.go and internal/verify; OCI image specification 1.1, descriptor.md ("Verification").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from buildlib.core.errors import Refused

# Bytes of a manifest or a configuration. Registries accept manifests of at least 4 MB (OCI distribution specification, "Pushing
# Manifests"), and Docker's takes no larger ones; containers/image reads no more of either (internal/iolimits).
MAX_DOCUMENT = 4 << 20
# Bytes of a compressed layer: what GitHub's registry stores at most ("Working with the Container registry").
MAX_LAYER = 10 << 30
# Registered algorithms (OCI image specification 1.1, descriptor.md), and the hex digits of their digests.
ALGORITHMS = {"sha256": 64, "sha512": 128}
HELP = "the registry, or a mirror or proxy in front of it, returns something else: do not use this image"


def digest_of(data: bytes) -> str:
    """The digest of `data` as sha256:<hex>."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_known(digest: str) -> bool:
    """Whether content can be verified against this digest."""
    algorithm, _, encoded = digest.partition(":")
    return re.fullmatch(r"[0-9a-f]+", encoded) is not None and ALGORITHMS.get(algorithm) == len(encoded)


def check_claims(title: str, digest: str, size: int | None, limit: int) -> None:
    """Refused if content with this digest and size is not read at all. `size` and `limit` are in bytes."""
    if not is_known(digest):
        raise Refused(f"{title}: digest {digest!r}, expected sha256 or sha512 in hex digits", HELP)
    if size is not None and size > limit:
        raise Refused(f"{title}: {size} bytes, expected at most {limit}", HELP)


def verified(
    chunks: Iterable[bytes], title: str, digest: str, size: int | None = None, limit: int = MAX_LAYER
) -> Iterator[bytes]:
    """Pass on chunks while they are hashed. Nothing of them may be used before the last one: only then is the digest known.

    `size` and `limit` are in bytes. Reading stops at the first byte that is too many.

    Raises:
        Refused: the content is not what `digest` and `size` say, more than `limit`, or the digest has an unknown algorithm.
    """
    check_claims(title, digest, size, limit)
    most = limit if size is None else size
    algorithm = digest.partition(":")[0]
    hashed, received = hashlib.new(algorithm), 0
    for chunk in chunks:
        received += len(chunk)
        if received > most:
            expected = f"at most {limit}" if size is None else f"{size}"
            raise Refused(f"{title}: more than {most} bytes, expected {expected}", HELP)
        hashed.update(chunk)
        yield chunk
    if size is not None and received != size:
        raise Refused(f"{title}: {received} bytes, expected {size}", HELP)
    actual = f"{algorithm}:{hashed.hexdigest()}"
    if actual != digest:
        raise Refused(f"{title}: digest mismatch: got {actual}, expected {digest}", HELP)


def verify(data: bytes, title: str, digest: str) -> None:
    """Verify a manifest or a configuration. Refused as for `verified`."""
    for _ in verified((data,), title, digest, limit=MAX_DOCUMENT):
        pass
