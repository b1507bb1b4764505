"""The SBOM beside each file of dist/: which lack one, and what is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildlib.binaries import dist
from buildlib.binaries.dist import Entry, document_path, has_document, with_document
from buildlib.binaries.linked_crates import LinkedCrates
from buildlib.core.errors import BuildError
from buildlib.core.plan import Write
from buildlib.process.commit import commit
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.rust.cargo import Build

if TYPE_CHECKING:
    from buildlib.crates.sbom import Subject


def with_sboms(
    context: Context, build: Build, entries: Sequence[Entry], crates: LinkedCrates
) -> tuple[list[Entry], dict[str, Path]]:
    """The entries with their SBOMs, and the SBOMs that dist/ does not have yet: path below dist/ -> file.

    Cargo is asked for its crate graph only if one is missing. If it has no answer there is a warning, and no SBOM.
    """
    if not context.config.sbom:
        return [with_document(entry, "sbom", None) for entry in entries], {}
    missing = {
        document_path(entry, "sbom"): entry for entry in entries if not has_document(context.dist, entry, "sbom")
    }
    files = _written(context, build, list(missing.values()), crates) if missing else {}
    paths = ((entry, document_path(entry, "sbom")) for entry in entries)
    return [with_document(entry, "sbom", files.get(path)) if path in missing else entry for entry, path in paths], files


def _written(context: Context, build: Build, entries: Sequence[Entry], crates: LinkedCrates) -> dict[str, Path]:
    """Write the SBOMs of these entries beside what cargo has compiled: path below dist/ -> file."""
    from buildlib.crates.sbom import document  # 0.1 s

    files = {}
    for path, subject in _subjects(context, build, entries, crates).items():
        files[path] = build.folder / "sbom" / Path(path).name
        context.run(Write(path=files[path], text=document(subject)))
    return files


def _subjects(context: Context, build: Build, entries: Sequence[Entry], linked: LinkedCrates) -> dict[str, Subject]:
    """What the SBOMs of these entries are about, by their path below dist/."""
    from buildlib.crates.sbom import Library, Subject

    try:
        crates = {document_path(entry, "sbom"): linked.of(entry["binary"], dist.kind_of(entry)) for entry in entries}
    except BuildError as error:
        context.console.warn(f"{build.target.name}: no SBOM: {error.message}")
        return {}
    sysroot = context.host.sysroots.get(build.target.name)
    made, _ = commit(context)
    return {
        path: Subject(
            name=entry["binary"], target=build.target, sha256=entry["sha256"], profile=entry["profile"], toolchain=entry["toolchain"],
            crates=crates[path], is_program=dist.kind_of(entry) in ("bin", "example"),
            libraries=[Library(name=one["name"], package=one["package"], version=one["version"], sha256=one["sha256"])
                       for one in dist.libraries_of(entry)],
            suite=sysroot.suite if sysroot else "", made=made,
        )
        for path, entry in zip(crates, entries, strict=True) if crates[path]
    }  # fmt: skip


def sbom_of(context: Context, entry: Entry) -> Any:
    """The SBOM of a file in dist/, as JSON data.

    Raises:
        BuildError: dist/ has none, or it is damaged.
    """
    if not has_document(context.dist, entry, "sbom"):
        raise BuildError(f"{entry['path']}: no SBOM to attach", "set `sbom`, and run `buildlib build`")
    return json.loads(read_text(context.dist / document_path(entry, "sbom")))
