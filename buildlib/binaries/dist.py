"""dist/: one directory per arch, manifest.json with the facts of every file, and SHA256SUMS.

docs/manifest.md describes the manifest. Nothing is written here (`publishing`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast, get_args

import msgspec
from msgspec import Meta

from buildlib.binaries.start import Started
from buildlib.core.errors import BuildError
from buildlib.core.sysroot import LIBRARIES, Sysroot
from buildlib.elf.facts import Facts, digest
from buildlib.process.files import disk_error, read_text
from buildlib.rust.cargo import Build

SCHEMA = 1
MANIFEST = "manifest.json"
Kind = Literal["bin", "example", "cdylib", "staticlib"]
SUMS = "SHA256SUMS"
SUMS_BUNDLE = f"{SUMS}.sigstore.json"  # its signature (`signing.directory`)
Document = Literal["sbom", "provenance"]
# What is beside a file of dist/ about it: the key in its entry, and what the name has behind that of the file. The first is one of the
# names that the CycloneDX specification recommends.
DOCUMENTS: Mapping[Document, str] = {"sbom": ".cdx.json", "provenance": ".provenance.json"}
KINDS: tuple[str, ...] = get_args(Kind)  # of cargo's targets, as far as they are published


class ElfFacts(TypedDict):
    """The ELF facts of a file (`facts.Facts`), for an archive those of most of its objects. `soname` is absent without one."""

    machine: int
    bits: int
    little: bool
    flags: int
    kind: str
    loader: str
    glibc: str
    needed: list[str]
    rpath: str
    arm: int
    soname: NotRequired[str]


class LibraryEntry(TypedDict):
    """A system library that a file loads, directly or through others: its soname, its Debian package, and its file in dist/."""

    name: str
    package: str
    version: str
    path: str
    size: int
    sha256: str


class DocumentEntry(TypedDict):
    """The SBOM or the provenance of a file, beside it in dist/."""

    path: str
    size: int
    sha256: str


class Entry(TypedDict):
    """One file in the manifest. `floor` is the minimum glibc version, `started` the flag of its start, `kind` "bin" if absent.

    `cpu` and `pages` are those of `start.Started`; they are absent if the file was not started. `libraries` is absent without any,
    `sbom` and `provenance` if there is none.
    """

    arch: str
    binary: str
    path: str
    target: str
    backend: str
    floor: Annotated[str, Meta(pattern=r"^(\d{1,4}\.\d{1,4})?$")]
    toolchain: str
    profile: str
    size: int
    sha256: str
    facts: ElfFacts
    started: str
    seconds: float
    kind: NotRequired[Kind]
    cpu: NotRequired[str]
    pages: NotRequired[str]
    libraries: NotRequired[list[LibraryEntry]]
    sbom: NotRequired[DocumentEntry]
    provenance: NotRequired[DocumentEntry]


class Manifest(TypedDict):
    """dist/manifest.json."""

    schema: int
    buildlib: str
    binaries: list[Entry]


def read(folder: Path) -> list[Entry]:
    """Return the files that the manifest in `folder` lists, none without a manifest.

    Raises:
        BuildError: `folder` is a file, or the manifest cannot be read.
    """
    manifest = folder / MANIFEST
    try:
        if folder.exists() and not folder.is_dir():
            raise BuildError(
                f"{folder}: a file, expected a directory", "remove it, or choose another directory with --dist"
            )
        # Opening a FIFO would wait for a program that writes to it. A directory has an error of its own.
        if manifest.exists() and not manifest.is_file() and not manifest.is_dir():
            raise BuildError(f"{manifest}: not a regular file", "remove it")
        return entries(read_text(manifest))
    except OSError as error:
        raise disk_error(error) from None


def entries(text: str) -> list[Entry]:
    """Return the files that a manifest lists; none for a text that is not a manifest of this schema.

    Anyone may have edited the file: entries that lack a key, have a value of another type, or name a file outside of their
    directory are left out.
    """
    try:
        manifest = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return []
    if (
        not isinstance(manifest, dict)
        or manifest.get("schema") != SCHEMA
        or not isinstance(manifest.get("binaries"), list)
    ):
        return []
    return [entry for entry in map(_checked, manifest["binaries"]) if entry]


def _checked(entry: Any) -> Entry | None:
    """Return the entry, None if it is not valid."""
    try:
        checked = msgspec.convert(entry, Entry)
    except msgspec.ValidationError:
        return None
    path, names = checked["path"], (checked["arch"], checked["binary"])
    libraries = checked.get("libraries", [])
    is_inside = path == "/".join(names) and all(one["path"] == f"{path}{LIBRARIES}/{one['name']}" for one in libraries)
    own = (kind for kind in DOCUMENTS if kind in checked)
    is_inside = is_inside and all(checked[kind]["path"] == document_path(checked, kind) for kind in own)
    files = (*names, *(library["name"] for library in libraries))
    is_inside = is_inside and not any(name in ("", ".", "..") or "/" in name for name in files)
    # A line break would add a line to SHA256SUMS, and no file name has a NUL.
    return checked if is_inside and all(map(str.isprintable, files)) else None


def entry(
    build: Build, binary: str, profile: str, facts: Facts, started: Started, seconds: float, kind: str = "bin"
) -> Entry:
    """Return the entry of the file `binary`.

    `seconds` is the time of the compilation, and `kind` that of cargo's target.
    """
    made: Entry = {
        "arch": build.target.name,
        "binary": binary,
        "path": f"{build.target.name}/{binary}",
        "target": build.target.triple,
        "backend": build.backend.name,
        "floor": build.backend.minimum_glibc,
        "toolchain": str(build.compiler) if build.compiler else "cross",
        "profile": profile,
        "size": facts.size,
        "sha256": facts.sha256,
        "facts": {
            "machine": facts.machine, "bits": facts.bits, "little": facts.little, "flags": facts.flags, "kind": facts.kind,
            "loader": facts.loader, "glibc": facts.glibc, "needed": list(facts.needed), "rpath": facts.rpath, "arm": facts.arm,
        },
        "started": started.flag,
        "seconds": round(seconds, 1),
    }  # fmt: skip
    # The entry of a program is what it was before there were others.
    if facts.soname:
        made["facts"]["soname"] = facts.soname
    if kind != "bin":
        made["kind"] = cast(Kind, kind)
    return with_start(made, started)


def with_start(entry: Entry, started: Started) -> Entry:
    """Return the entry of a file that was started in this way."""
    made: Entry = {**entry, "started": started.flag}
    made.pop("cpu", "")
    made.pop("pages", "")
    if started.cpu:
        made["cpu"] = started.cpu
    if started.pages:
        made["pages"] = started.pages
    return made


def with_libraries(entry: Entry, sysroot: Sysroot | None) -> Entry:
    """Return the entry of a file with those libraries of the target's sysroot that it loads."""
    made: Entry = {**entry}
    made.pop("libraries", [])
    found = sysroot.closure(tuple(entry["facts"]["needed"])) if sysroot else {}
    if sysroot and found:
        made["libraries"] = [
            {
                "name": soname, "package": library.package, "version": sysroot.packages[library.package],
                "path": f"{entry['path']}{LIBRARIES}/{soname}", "size": library.size, "sha256": library.sha256,
            }
            for soname, library in found.items()
        ]  # fmt: skip
    return made


def libraries_of(entry: Entry) -> list[LibraryEntry]:
    """Return the system libraries that the file of an entry loads."""
    return entry.get("libraries", [])


def files_of(entry: Entry) -> tuple[Entry | LibraryEntry, ...]:
    """Return what describes the files that an entry needs to run: itself, and the system libraries that it loads."""
    return (entry, *libraries_of(entry))


def all_files_of(entry: Entry) -> tuple[Entry | LibraryEntry | DocumentEntry, ...]:
    """Return what describes the files of an entry in dist/, with its SBOM and its provenance."""
    return (*files_of(entry), *(entry[kind] for kind in DOCUMENTS if kind in entry))


def document_path(entry: Entry, kind: Document) -> str:
    """Return where a document of an entry is, below dist/."""
    return f"{entry['path']}{DOCUMENTS[kind]}"


def has_document(folder: Path, entry: Entry, kind: Document) -> bool:
    """Return whether dist/ has a document of an entry, unchanged."""
    return kind in entry and is_intact(folder, entry[kind])


def with_document(entry: Entry, kind: Document, file: Path | None) -> Entry:
    """Return the entry with a document of this content, without one for None. OSError if it cannot be read."""
    made: Entry = {**entry}
    made.pop(kind, None)
    if file:
        made[kind] = {"path": document_path(entry, kind), "size": file.stat().st_size, "sha256": digest(file)}
    return made


def is_intact(folder: Path, file: Entry | LibraryEntry | DocumentEntry) -> bool:
    """Return whether dist/ in `folder` has exactly the bytes that the manifest says of a file."""
    path = folder / file["path"]
    return path.is_file() and path.stat().st_size == file["size"] and digest(path) == file["sha256"]


def started_of(entry: Entry) -> Started:
    """Return how the file of an entry was started."""
    return Started(entry["started"], entry.get("cpu", ""), entry.get("pages", ""))


def kind_of(entry: Entry) -> Kind:
    """Return the kind of cargo's target whose file an entry describes."""
    return entry.get("kind", "bin")


def unchanged(old: Iterable[Entry], build: Build, compiled: Path, kind: str = "bin") -> Entry | None:
    """Return the entry of the bytes in `compiled` if they passed the gate before, for the same arch, minimum glibc and kind.

    The file is read only if there is an entry of its size.

    Raises:
        OSError: the file cannot be read.
    """
    same = {
        "arch": build.target.name, "binary": compiled.name, "size": compiled.stat().st_size, "floor": build.backend.minimum_glibc,
    }  # fmt: skip
    matching = [e for e in old if all(e.get(key) == value for key, value in same.items()) and kind_of(e) == kind]
    sha256 = digest(compiled) if matching else ""
    return next((e for e in matching if e["sha256"] == sha256), None)
