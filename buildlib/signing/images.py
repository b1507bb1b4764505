"""Attach signed statements to an image in a registry, and verify those that it has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from buildlib.core import statements
from buildlib.core.errors import BuildError, NetworkError, Refused
from buildlib.core.statements import Statement
from buildlib.registry import referrers
from buildlib.registry.content import Repository
from buildlib.registry.referrers import Artifact, Referrer, Referrers, Subject
from buildlib.signing import bundles
from buildlib.signing.bundles import BUNDLE, Invalid
from buildlib.signing.keys import PrivateKey, PublicKey

MAX_BUNDLE = 64 << 20  # bytes; an SBOM of 10,000 crates has 10 MB
MAX_BUNDLES = 100  # of one image, that are read
SHOWN = 3  # reasons in a message
# What the layer of a manifest with this type is.
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")

# Returns what is to be said of a manifest: its platform ("" for the index) -> predicate type and predicate.
Predicates = Callable[[str], Iterable[tuple[str, object]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What one manifest of an image has now. `platform` is "" for the index."""

    platform: str
    digest: str
    names: tuple[str, ...]  # of the statements: "signature", "sbom", …
    added: bool  # whether any of them is new


@dataclass(frozen=True, slots=True)
class Proofs:
    """The statements about one manifest that a key has signed, and why other bundles prove nothing."""

    statements: tuple[Statement, ...]
    rejected: tuple[str, ...]

    def of(self, predicate_type: str) -> tuple[Statement, ...]:
        """The statements with this type of predicate."""
        return tuple(one for one in self.statements if one.predicate_type == predicate_type)


def subjects(document: bytes, digest: str) -> Iterator[tuple[str, Subject]]:
    """The manifest or index `document`, and then each image of it, with its platform; "" for the document itself."""
    data = json.loads(document)
    fallback = INDEXES[0] if "manifests" in data else referrers.MANIFEST
    yield "", Subject(digest=digest, media_type=str(data.get("mediaType", fallback)), size=len(document))
    for entry in data.get("manifests", ()):
        platform = entry.get("platform") or {}
        if platform.get("os") == "unknown":
            continue
        name = "/".join(str(platform[part]) for part in ("os", "architecture", "variant") if platform.get(part))
        yield name, Subject(digest=entry["digest"], media_type=str(entry["mediaType"]), size=int(entry["size"]))


def sign(
    repository: Repository, document: bytes, digest: str, key: PrivateKey, predicates: Predicates = lambda _: ()
) -> list[Attached]:
    """Sign the manifest or index `document`, and each of its images, with what `predicates` says of them.

    What the key has signed already is not signed again. Returns what each manifest has now, the index first.

    Raises:
        NetworkError, BuildError: The registry does not take it, or does not answer.
    """
    found = list(subjects(document, digest))

    def one(platform: str, subject: Subject) -> Attached:
        name = f"{repository.registry}/{repository.name}"
        said = [
            Statement(predicate_type=kind, predicate=predicate, subjects=((name, subject.digest.partition(":")[2]),))
            for kind, predicate in ((statements.SIGNATURE, {}), *predicates(platform))
        ]
        added = attach(repository, subject, said, key)
        names = tuple(statements.name_of(statement.predicate_type) for statement in said)
        return Attached(platform=platform, digest=subject.digest, names=names, added=added)

    with ThreadPoolExecutor(max_workers=8) as pool:  # each waits for the registry
        return list(pool.map(lambda pair: one(*pair), found))


def attach(repository: Repository, subject: Subject, said: Sequence[Statement], key: PrivateKey) -> bool:
    """Attach those statements of whose kind the image has none by this key. Returns whether there were any."""
    known = referrers.referrers(repository, subject.digest, current=True)
    present = {one.predicate_type for one in proofs(repository, subject.digest, key.public, known).statements}
    missing = [artifact(one, key) for one in said if one.predicate_type not in present]
    if missing:
        try:
            referrers.attach(repository, subject, missing, is_listed=known.is_listed)
        except NetworkError:
            raise
        except BuildError as error:
            help_text = error.help or "the registry must accept OCI artifacts with `subject` (image specification 1.1)"
            raise type(error)(f"cannot attach signatures: {error.message}", help_text) from None
    return bool(missing)


def artifact(statement: Statement, key: PrivateKey) -> Artifact:
    """A statement as it is attached to an image: a signed bundle, and annotations by which clients find it in a list."""
    annotations = {
        "dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": statement.predicate_type,
    }  # fmt: skip
    return Artifact(media_type=BUNDLE, content=bundles.sealed(statement, key), annotations=annotations)


def proofs(repository: Repository, digest: str, key: PublicKey, known: Referrers | None = None) -> Proofs:
    """What the key has signed about the manifest with this digest.

    Raises:
        NetworkError, BuildError: The registry does not answer.
        Refused: There are so many bundles that not all can be read.
    """
    known = known or referrers.referrers(repository, digest)
    # Not filtered by the type that the list states: go-containerregistry, and so cosign, writes that of the configuration there.
    candidates = known.entries
    if len(candidates) > MAX_BUNDLES:
        help_text = "remove old signatures"
        raise Refused(f"{repository}@{digest}: {len(candidates)} referrers, expected at most {MAX_BUNDLES}", help_text)
    found: list[Statement] = []
    rejected: list[str] = []
    for candidate in candidates:
        try:
            found += _proof(repository, candidate, digest, key)
        except NetworkError:
            raise
        except (Invalid, BuildError) as error:  # others may add what they like: it must not hide what is good
            rejected.append(f"{candidate.digest[:19]}: {error}")
    return Proofs(tuple(found), tuple(rejected))


def _proof(repository: Repository, candidate: Referrer, digest: str, key: PublicKey) -> Iterator[Statement]:
    """The statement of a candidate, none for what is not a bundle. Invalid if it proves nothing about the image."""
    media_type, content = referrers.read(repository, candidate, MAX_BUNDLE)
    if not media_type.startswith(bundles.ANY_BUNDLE):
        return
    statement = bundles.opened(content, key)
    algorithm, _, encoded = digest.partition(":")
    if algorithm != "sha256" or encoded not in {sha256 for _, sha256 in statement.subjects}:
        about = ", ".join(f"sha256:{sha256[:12]}" for _, sha256 in statement.subjects) or "nothing"
        raise Invalid(f"about {about}, not about this image")
    yield statement


def problems(found: Proofs, key: PublicKey, required: Iterable[str]) -> list[str]:
    """What is missing: the signature, and the required types of predicates. One line each, with the reasons."""
    lines = []
    for kind in (statements.SIGNATURE, *required):
        # cosign takes any attestation for a signature; but who states what is in an image may not want it to be used.
        if not found.of(kind):
            reasons = "; ".join(found.rejected[:SHOWN]) + ("; …" if len(found.rejected) > SHOWN else "")
            lines.append(f"{statements.name_of(kind)}: none by {key.name}{f' ({reasons})' if reasons else ''}")
    return lines


def program_of(sbom: object) -> str:
    """The SHA-256 of the program that an SBOM in CycloneDX describes, "" if it does not say."""
    value = sbom
    for step in ("metadata", "component", "hashes"):
        value = value.get(step) if isinstance(value, dict) else None
    hashes = value if isinstance(value, list) else []
    found = (one.get("content") for one in hashes if isinstance(one, dict) and one.get("alg") == "SHA-256")
    return next((content for content in found if isinstance(content, str)), "")
