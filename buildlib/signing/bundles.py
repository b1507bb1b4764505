"""Sigstore bundles v0.3, signed with a key: they hold a statement in a DSSE envelope, or the signature of a file.

Sources: sigstore/protobuf-specs (sigstore_bundle.proto, in protobuf's JSON), secure-systems-lab/dsse (protocol.md).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
from msgspec import Struct

from buildlib.core import statements
from buildlib.core.statements import Statement
from buildlib.signing.keys import PrivateKey, PublicKey

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
# Of every version, as cosign compares it; a version may be a parameter.
ANY_BUNDLE = "application/vnd.dev.sigstore.bundle"
PAYLOAD = "application/vnd.in-toto+json"


class Invalid(Exception):
    """A bundle that proves nothing; the text says why."""


class _Signature(Struct):
    sig: bytes


class _Envelope(Struct, rename="camel"):
    payload: bytes
    payload_type: str
    signatures: list[_Signature]


class _Digest(Struct, frozen=True):
    digest: bytes = b""


class _Message(Struct, rename="camel"):
    signature: bytes
    message_digest: _Digest = _Digest()


class _Bundle(Struct, rename="camel"):
    media_type: str
    dsse_envelope: _Envelope | None = None
    message_signature: _Message | None = None


def sealed(statement: Statement, key: PrivateKey) -> bytes:
    """The bundle of a statement."""
    payload = statement.encode()
    signature = {"sig": key.sign(_authenticated(PAYLOAD, payload))}
    return _bundle(key, {"dsseEnvelope": {"payload": payload, "payloadType": PAYLOAD, "signatures": [signature]}})


def opened(data: bytes, key: PublicKey) -> Statement:
    """The statement in a bundle, once its signature is verified. Invalid if the key has not signed it, or it is no statement."""
    envelope = _decoded(data).dsse_envelope
    if envelope is None:
        raise Invalid("holds no statement")
    if envelope.payload_type != PAYLOAD:
        raise Invalid(f"payload of type {envelope.payload_type!r}, expected {PAYLOAD!r}")
    signed = _authenticated(envelope.payload_type, envelope.payload)
    if not any(key.verifies(one.sig, signed) for one in envelope.signatures):
        raise Invalid(f"not signed with {key.name}")
    try:
        return statements.decode(envelope.payload)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid statement: {error}") from None


def sealed_file(content: bytes, key: PrivateKey) -> bytes:
    """The bundle of a file's signature, as `cosign sign-blob` makes it."""
    digest = {"algorithm": "SHA2_256", "digest": hashlib.sha256(content).digest()}
    return _bundle(key, {"messageSignature": {"messageDigest": digest, "signature": key.sign(content)}})


def verify_file(data: bytes, content: bytes, key: PublicKey) -> None:
    """Invalid unless the bundle `data` has the key's signature of a file's content."""
    message = _decoded(data).message_signature
    if message is None:
        raise Invalid("holds no signature of a file")
    if not key.verifies(message.signature, content):
        same = message.message_digest.digest in (b"", hashlib.sha256(content).digest())
        raise Invalid(f"not signed with {key.name}" if same else "the signature of other content")


def _bundle(key: PrivateKey, content: dict[str, Any]) -> bytes:
    material = {"publicKey": {"hint": key.public.hint}}
    data = {"mediaType": BUNDLE, "verificationMaterial": material, **content}
    return json.dumps(msgspec.to_builtins(data), separators=(",", ":")).encode()  # bytes become base64


def _decoded(data: bytes) -> _Bundle:
    try:
        bundle = msgspec.json.decode(data, type=_Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"not a sigstore bundle: {error}") from None
    if not bundle.media_type.startswith(ANY_BUNDLE):
        raise Invalid(f"of type {bundle.media_type!r}, expected {BUNDLE!r}")
    return bundle


def _authenticated(kind: str, payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding of a payload and its type."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
