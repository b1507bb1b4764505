"""An SBOM as CycloneDX 1.6 JSON. The same file has the same SBOM: no random serial number, and the time of the commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from buildlib import __version__
from buildlib.core.targets import Target
from buildlib.crates.linked import CRATES_IO, Crate


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A system library that a file loads: its soname, and its Debian package."""

    name: str
    package: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A file of dist/ and what it was made of.

    `crates` are those that are linked into it, its own first. `made` is the time of the commit in seconds since 1970, `suite` that of
    Debian from which the libraries are, and `toolchain` a name and a version.
    """

    name: str
    target: Target
    sha256: str
    profile: str
    toolchain: str
    crates: Sequence[Crate]
    is_program: bool = True
    libraries: Sequence[Library] = ()
    suite: str = ""
    made: int = 0


def document(subject: Subject) -> str:
    """The SBOM of a file as JSON."""
    root = _root(subject)
    crates = {crate.id: _crate(crate) for crate in subject.crates[1:]}
    libraries = [_library(library, subject) for library in subject.libraries]
    bom = Bom(components=[*crates.values(), *libraries], serial_number=uuid5(NAMESPACE_URL, f"sha256:{subject.sha256}"))
    bom.metadata.timestamp = datetime.fromtimestamp(subject.made, UTC)
    bom.metadata.component = root
    bom.metadata.tools = ToolRepository(components=_tools(subject.toolchain))
    for crate in subject.crates:
        below = [crates[id] for id in crate.depends_on if id in crates]
        bom.register_dependency(crates.get(crate.id, root), below if crate.id in crates else [*below, *libraries])
    return f"{JsonV1Dot6(bom).output_as_string(indent=2)}\n"


def _root(subject: Subject) -> Component:
    own = subject.crates[0]
    facts = {"target": subject.target.triple, "profile": subject.profile}
    return Component(
        type=ComponentType.APPLICATION if subject.is_program else ComponentType.LIBRARY,
        name=subject.name, version=own.version, bom_ref=f"{subject.target.name}/{subject.name}", hashes=_hashes(subject.sha256),
        licenses=_licences(own.licence), properties=[Property(name=f"buildlib:{key}", value=value) for key, value in facts.items()],
    )  # fmt: skip


def _crate(crate: Crate) -> Component:
    # Two crates of one name and version have different sources. A path of this machine is no part of the name.
    source = f" ({crate.source})" if crate.source not in ("", *CRATES_IO) else ""
    return Component(
        name=crate.name, version=crate.version, bom_ref=f"{crate.name}@{crate.version}{source}", purl=crate_url(crate),
        hashes=_hashes(crate.checksum), licenses=_licences(crate.licence),
    )  # fmt: skip


def crate_url(crate: Crate) -> PackageURL | None:
    """The package URL of a crate, None for one of a path: what has its name in a registry is another one."""
    kind, _, address = crate.source.partition("+")
    if not crate.source:
        return None
    if crate.source in CRATES_IO:
        return PackageURL("cargo", None, crate.name, crate.version)
    qualifiers = {"vcs_url": crate.source} if kind == "git" else {"repository_url": address}
    return PackageURL("cargo", None, crate.name, crate.version, qualifiers)


def _library(library: Library, subject: Subject) -> Component:
    arch = subject.target.debian
    qualifiers = {"arch": arch, "distro": subject.suite} if subject.suite else {"arch": arch}
    return Component(
        name=library.name, version=library.version, bom_ref=f"{library.package}:{arch}/{library.name}",
        purl=PackageURL("deb", "debian", library.package, library.version, qualifiers), hashes=_hashes(library.sha256),
    )  # fmt: skip


def _hashes(sha256: str) -> Iterable[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else []


def _licences(text: str) -> Iterable[License]:
    """A licence as the package states it. Cargo's older separator `/` means OR (the Cargo Book, "The license field")."""
    return [LicenseFactory().make_from_string(text.replace("/", " OR "))] if text else []


def _tools(toolchain: str) -> list[Component]:
    name, _, version = toolchain.partition(" ")
    return [
        Component(type=ComponentType.APPLICATION, name="buildlib", version=__version__),
        Component(type=ComponentType.APPLICATION, name=name, version=version.partition(" ")[0] or None),
    ]
