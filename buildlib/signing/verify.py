"""`verify --key`: what the gate does not ask, whether a key has signed it."""

from __future__ import annotations

from pathlib import Path

from buildlib.binaries.dist import SUMS
from buildlib.binaries.verify import Verdict
from buildlib.core.statements import NAMES, SBOM
from buildlib.image_gate.remote import Demand
from buildlib.process.context import Context
from buildlib.registry.content import Repository
from buildlib.signing import directory, images
from buildlib.signing.keys import PublicKey


def demand(context: Context, key: PublicKey) -> Demand:
    """What is demanded of the manifests of an image: the key's signature, and for each platform the required attestations."""
    required = [NAMES.get(name, name) for name in context.config.signing.require]

    def check(repository: Repository, digest: str, program: str, is_image: bool) -> list[str]:
        found = images.proofs(repository, digest, key)
        lines = images.problems(found, key, required if is_image else ())
        described = {images.program_of(one.predicate) for one in found.of(SBOM)} - {""}
        if program and described and program not in described:
            lines.append(f"sbom: about a program with sha256 {min(described)}, expected {program}")
        return lines

    return check


def of_directory(context: Context, folder: Path, key: PublicKey) -> Verdict:
    """The verdict about the signature of a directory, which covers all that its manifest lists."""
    refusals = directory.problems(folder, key, context.config.signing.require)
    return Verdict(path=folder / SUMS, target=None, facts=None, refusals=tuple(refusals), kind="signature")
