"""`verify --key`: what the gate does not ask, whether a key has signed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from buildlib.binaries.dist import SUMS
from buildlib.binaries.verify import Verdict
from buildlib.core.errors import UsageError
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


def of_directory(context: Context, folder: Path, key: PublicKey, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts about the files in a directory, with what is not signed, and one about the signature, which covers all of them.

    Raises:
        UsageError: It is a file: the signature is that of a directory.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: --key verifies directories and images", "name the directory with SHA256SUMS, such as dist"
        )
    listed = directory.digests(folder)
    files = [
        verdict if verdict.facts is None or listed.get(str(verdict.path.relative_to(folder))) == verdict.facts.sha256
        else replace(verdict, refusals=(*verdict.refusals, f"signature: not in {SUMS} with this digest"))
        for verdict in verdicts
    ]  # fmt: skip
    refusals = directory.problems(folder, key, context.config.signing.require)
    return [*files, Verdict(path=folder / SUMS, target=None, facts=None, refusals=tuple(refusals), kind="signature")]
