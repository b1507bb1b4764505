"""What is said of an image that is signed: what is in it, and what it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildlib.assembly.assembly import Wanted
from buildlib.binaries import provenance
from buildlib.binaries.dist import Entry
from buildlib.binaries.provenance import binary_input
from buildlib.binaries.sbom import sbom_of
from buildlib.core.statements import PROVENANCE, SBOM
from buildlib.elf import digest
from buildlib.process.context import Context


def of_binary(
    context: Context, name: str, entries: Mapping[str, Entry], platform: str, wanted: Wanted
) -> list[tuple[str, Any]]:
    """The SBOM of a program for a platform, and what its image was made of. `entries` has the binary of each platform."""
    chosen = [entries[platform]] if platform else list(entries.values())
    found: list[tuple[str, Any]] = []
    if "sbom" in wanted.attest and platform:
        found.append((SBOM, sbom_of(context, chosen[0])))
    if "provenance" in wanted.attest:
        inputs = [binary_input(entry) for entry in chosen]
        said = provenance.of_image(context, wanted.source, name, platform, inputs, wanted.bases)
        found.append((PROVENANCE, said))
    return found


def of_dockerfile(context: Context, name: str, file: Path, platform: str, wanted: Wanted) -> list[tuple[str, Any]]:
    """What the image of a Dockerfile was made of."""
    if "provenance" not in wanted.attest:
        return []
    inputs = [{"name": file.name, "digest": {"sha256": digest(file)}}]
    return [(PROVENANCE, provenance.of_image(context, wanted.source, name, platform, inputs, wanted.bases))]
