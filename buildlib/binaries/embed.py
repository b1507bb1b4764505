"""The list of crates in each program and shared library (setting `embed_sbom`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from buildlib.binaries.linked_crates import LinkedCrates
from buildlib.core.errors import BuildError
from buildlib.core.plan import Extend
from buildlib.elf.new_section import with_section
from buildlib.elf.object_file import MAGIC, Span
from buildlib.process.context import Context
from buildlib.rust.cargo import Build

HELP = "`embed_sbom = false` builds without"


def with_crate_lists(
    context: Context, build: Build, files: Mapping[str, tuple[Path, str]], crates: LinkedCrates
) -> dict[str, tuple[Path, str]]:
    """The compiled files, each with the kind of cargo's target, as they are published: copies with the list of their crates.

    It is not an object file for the linker: that would be another one for each machine and file, would have to get through every
    backend's linker, and cargo, which does not know of it, would not link again. Archives stay as they are, because another linker
    will take some of their objects, and so does what the gate will refuse.

    Raises:
        BuildError: a file cannot get its list, because cargo does not know its crates, or because of its format.
    """
    if not context.config.embed_sbom:
        return dict(files)
    return {
        name: (_with_crate_list(context, build, path, kind, crates) if _is_elf(path) else path, kind)
        for name, (path, kind) in files.items()
    }


def _is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def _with_crate_list(context: Context, build: Build, path: Path, kind: str, crates: LinkedCrates) -> Path:
    from buildlib.crates.auditable import SECTION, crate_list

    file = f"{build.target.name}: {path.name}"
    try:
        found = crates.of(path.name, kind)
    except BuildError as error:
        raise type(error)(f"{file}: cannot embed its crates: {error.message}", error.help or HELP) from None
    if not found:
        raise BuildError(f"{file}: cannot embed its crates: cargo's crate graph does not have it", HELP)
    try:
        with path.open("rb") as stream:
            extended = with_section(Span(stream, 0, path.stat().st_size), SECTION, crate_list(found))
    except ValueError as error:
        raise BuildError(f"{file}: cannot embed its crates: {error}", HELP) from None
    if not extended:
        context.console.note(f"{file} has a section {SECTION} already, which stays as it is")
        return path
    copy = build.folder / "embedded" / path.name
    context.run(Extend(source=path, path=copy, head=extended.head, tail=extended.tail))
    return copy
