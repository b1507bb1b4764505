"""in-toto statements: what is said of which artifacts (in-toto attestation framework, spec/v1/statement.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

STATEMENT = "https://in-toto.io/Statement/v1"
OLD_STATEMENT = "https://in-toto.io/Statement/v0.1"  # cosign accepts and writes it as well
# Predicate types.
SIGNATURE = "https://sigstore.dev/cosign/sign/v1"  # an image, nothing more: what `cosign sign` makes
SBOM = "https://cyclonedx.org/bom"
PROVENANCE = "https://slsa.dev/provenance/v1"
# The names of predicate types in settings and on the command line.
NAMES = {"sbom": SBOM, "provenance": PROVENANCE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a predicate says of artifacts. `subjects` are the name of each and its SHA-256 in hex digits, "" for one without."""

    predicate_type: str
    predicate: Any
    subjects: tuple[tuple[str, str], ...]

    def encode(self) -> bytes:
        """The statement as JSON; the same statement gives the same bytes."""
        subject = [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in self.subjects]
        data = {
            "_type": STATEMENT, "subject": subject, "predicateType": self.predicate_type, "predicate": self.predicate,
        }  # fmt: skip
        return json.dumps(data, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


class _Subject(Struct):
    digest: dict[str, str] = {}
    name: str = ""


class _Document(Struct):
    type: str = msgspec.field(name="_type")
    predicate_type: str = msgspec.field(name="predicateType")
    subject: list[_Subject]
    predicate: Any = None


def decode(data: bytes) -> Statement:
    """The statement in `data`. ValueError for anything else."""
    document = msgspec.json.decode(data, type=_Document)
    if document.type not in (STATEMENT, OLD_STATEMENT):
        raise ValueError(f"a {document.type}, expected an in-toto statement")
    subjects = tuple((one.name, one.digest.get("sha256", "")) for one in document.subject)
    return Statement(predicate_type=document.predicate_type, predicate=document.predicate, subjects=subjects)


def name_of(predicate_type: str) -> str:
    """The name of a predicate type in messages: "sbom", "signature", else the type itself."""
    names = {uri: name for name, uri in NAMES.items()} | {SIGNATURE: "signature"}
    return names.get(predicate_type, predicate_type)
