"""The binaries of all parts: copied, compared with their digests, and passed through the gate again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from buildlib.binaries import dist, gate
from buildlib.binaries.dist import Entry
from buildlib.core.errors import Refused
from buildlib.core.targets import TARGETS
from buildlib.elf.facts import Unreadable
from buildlib.process.context import Context
from buildlib.shards import result as results_
from buildlib.shards.record import entry_digest
from buildlib.shards.result import Result

PROGRAM, LIBRARY = 0o755, 0o644  # modes: a CI system may have carried the files without theirs
UNTOUCHED = "dist/ is unchanged, and no tag was moved"


def verified(context: Context, results: Sequence[Result], scratch: Path) -> tuple[list[Entry], dict[str, Path]]:
    """The entries of all binaries, and copies of their files below `scratch`, by path. Refused with everything that is wrong."""
    entries: list[Entry] = []
    copies: dict[str, Path] = {}
    problems: list[str] = []
    for result in results:
        for path, sha256, digest in _recorded(result):
            entry = result.entries.get(path)
            found = [f"{result}: {path!r}: {line}" for line in _listed(result, entry, sha256, digest)]
            if entry and entry not in entries and not found:
                found = [f"{result}: {line}" for line in _files(context, result, entry, scratch, copies)]
                entries.append(entry)
            problems += found
    if any("build" in result.record.commands for result in results):
        problems += _absent(results, entries) if not problems else []
    if problems:
        raise Refused("\n  ".join(("the gate refused", *problems)), UNTOUCHED)
    return entries, copies


def _recorded(result: Result) -> Iterator[tuple[str, str, str]]:
    """The path, the SHA-256 and the digest of the entry of each file of a part: what was built, and what is in images."""
    for command in ("build", "image"):
        if found := result.record.commands.get(command):
            yield from ((path, sha256, found.entries.get(path, "")) for path, sha256 in found.files.items())


def _listed(result: Result, entry: Entry | None, sha256: str, digest: str) -> Iterator[str]:
    """Why a file of the record cannot be one of the part."""
    if entry is None:
        yield "not in manifest.json"
    elif entry["arch"] not in result.names:
        yield f"for {entry['arch']}, which is not in this part"
    elif entry["arch"] not in TARGETS or entry["target"] != TARGETS[entry["arch"]].triple:
        yield f"for {entry['target']}, expected the target of {entry['arch']}"
    elif entry["sha256"] != sha256:
        yield f"sha256: {entry['sha256']} in manifest.json, expected {sha256}"
    elif entry_digest(entry) != digest:
        yield "modified in manifest.json"


def _files(context: Context, result: Result, entry: Entry, scratch: Path, copies: dict[str, Path]) -> Iterator[str]:
    """Copy the files of an entry, and yield what is wrong with them."""
    intact = True
    for file in dist.all_files_of(entry):
        path = scratch / file["path"]
        try:
            size, digest = results_.copy(result.folder, file["path"], path, min(file["size"], results_.MAX_FILE))
        except FileNotFoundError:
            yield f"{file['path']}: missing, expected by manifest.json"
            intact = False
            continue
        except Refused as error:
            yield error.message.removeprefix(f"{result.folder}/")
            intact = False
            continue
        if (size, digest) != (file["size"], file["sha256"]):
            yield f"{file['path']}: modified: {size} bytes, sha256 {digest}, expected {file['size']} bytes, {file['sha256']}"
            intact = False
        is_program = file is entry and dist.kind_of(entry) != "staticlib"
        path.chmod(PROGRAM if is_program else LIBRARY)
        copies[file["path"]] = path
    if intact:
        yield from (f"{entry['path']}: {line}" for line in _refusals(context, entry, copies[entry["path"]]))


def _refusals(context: Context, entry: Entry, path: Path) -> list[str]:
    try:
        facts = gate.read(path)
    except Unreadable as error:
        return [error.message.removeprefix(f"{path}: ")]
    kind, target = dist.kind_of(entry), TARGETS[entry["arch"]]
    return gate.check(context, path, facts, target, entry["floor"], kind, run=False)[0]


def _absent(results: Sequence[Result], entries: Sequence[Entry]) -> Iterator[str]:
    """Arches without binaries, and programs that only other arches have."""
    programs: Mapping[str, set[str]] = {
        name: {entry["binary"] for entry in entries if entry["arch"] == name and dist.kind_of(entry) == "bin"}
        for result in results for name in result.names
    }  # fmt: skip
    every = set().union(*programs.values())
    for result in results:
        for name in result.names:
            if not any(entry["arch"] == name for entry in entries):
                yield f"{result}: no binary for {name}"
            elif missing := every - programs[name]:
                yield f"{result}: {name} lacks {', '.join(sorted(missing))}, which other arches have"
