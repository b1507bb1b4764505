"""The command `verify` for files and directories: the checks of the gate, without a build before them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib import elf
from buildlib.binaries import dist, gate
from buildlib.binaries.dist import Entry
from buildlib.binaries.start import NOT_STARTED, Started
from buildlib.core.errors import NothingToDo, UsageError
from buildlib.core.targets import TARGETS, Target
from buildlib.elf import archive
from buildlib.elf.facts import Facts, Unreadable
from buildlib.process.context import Context
from buildlib.process.files import disk_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's result for one file. `target` and `facts` are None if the file cannot be read."""

    path: Path
    target: Target | None
    facts: Facts | None
    refusals: tuple[str, ...]
    started: Started = NOT_STARTED
    kind: str = "bin"  # of cargo's target: "bin", "example", "cdylib" or "staticlib"


def verify(context: Context, paths: Iterable[Path], *, run: bool = False) -> list[Verdict]:
    """Run the checks of the gate on files, and on all programs and libraries in directories.

    If a directory has a manifest, every file that the manifest lists must exist, have the listed digest, and pass the
    checks for the listed kind, arch and minimum glibc. What another file is, its facts say. `run` also starts the programs.

    Raises:
        NothingToDo: there is nothing to verify.
        UsageError: a path is neither a file nor a directory.
        BuildError: a path cannot be read, or dist/ is not a directory.
    """
    verdicts: list[Verdict] = []
    try:
        for path in paths:
            # dist/ is always read as a directory: if it is a file, that is an error.
            if path.is_dir() or (path.exists() and path.absolute() == context.dist.absolute()):
                verdicts += _verify_folder(context, path, run)
            elif path.is_file():
                verdicts.append(_verify_file(context, path, _arch_of(path), context.config.glibc, run))
            else:
                raise UsageError(f"{path}: {_absence(path)}")
    except OSError as error:
        raise disk_error(error) from None
    if not verdicts:
        raise NothingToDo("no binaries to verify", "run `buildlib build` first")
    return verdicts


def _absence(path: Path) -> str:
    """Why a path is neither a file nor a directory: it may be a FIFO or a device."""
    return "neither a file nor a directory" if path.exists() else "no such file or directory"


def _verify_folder(context: Context, folder: Path, run: bool) -> list[Verdict]:
    entries = dist.read(folder)
    listed = {folder / one["path"] for entry in entries for one in dist.files_of(entry)}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in listed and _is_compiled(path))
    unlisted = [_verify_file(context, path, _arch_of(path), context.config.glibc, run) for path in files]
    return [_verify_entry(context, folder, entry, run) for entry in entries] + unlisted


def _verify_entry(context: Context, folder: Path, entry: Entry, run: bool) -> Verdict:
    path = folder / entry["path"]
    if not path.is_file() and not path.is_dir():
        return Verdict(path=path, target=None, facts=None, refusals=("file: missing, expected by manifest.json",))
    verdict = _verify_file(context, path, TARGETS.get(entry["arch"]), entry["floor"], run, dist.kind_of(entry))
    if verdict.facts and verdict.facts.sha256 != entry["sha256"]:
        mismatch = f"sha256: {verdict.facts.sha256}, expected {entry['sha256']}"
        return replace(verdict, refusals=(*verdict.refusals, mismatch), started=NOT_STARTED)
    changed = [file["path"] for file in dist.all_files_of(entry)[1:] if not dist.is_intact(folder, file)]
    return replace(verdict, refusals=(*verdict.refusals, *(f"{path}: missing or changed" for path in changed)))


def _arch_of(path: Path) -> Target | None:
    """Return the target that the parent directory names, as in dist/<arch>/<binary>."""
    return TARGETS.get(path.absolute().parent.name)


def _is_compiled(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(elf.MAGIC)) == elf.MAGIC or archive.is_archive(path)


def _verify_file(
    context: Context, path: Path, target: Target | None, minimum_glibc: str, run: bool, kind: str = ""
) -> Verdict:
    """Run the checks on one file. Without a `kind` the file itself says what it is, and without a target what it is for."""
    try:
        facts = gate.read(path)
    except Unreadable as error:
        refusal = error.message.removeprefix(f"{path}: ")
        return Verdict(path=path, target=target, facts=None, refusals=(refusal,), kind=kind or "bin")
    kind, target = kind or facts.artifact, target or elf.guess(facts)
    if target is None:
        refusal = f"machine: {facts.machine}, expected one that buildlib knows"
        return Verdict(path=path, target=None, facts=facts, refusals=(refusal,), kind=kind)
    refusals, started = gate.check(context, path, facts, target, minimum_glibc, kind, run=run)
    return Verdict(path=path, target=target, facts=facts, refusals=tuple(refusals), started=started, kind=kind)
