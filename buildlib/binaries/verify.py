"""The command `verify` for files and directories: the checks of the gate, without a build before them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib.binaries import dist, elf, gate
from buildlib.binaries.dist import Entry
from buildlib.binaries.elf import Facts
from buildlib.core.errors import BuildError, NothingToDo
from buildlib.core.targets import TARGETS, Target
from buildlib.process.context import Context
from buildlib.process.files import disk_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's result for one file. `target` and `facts` are None if the file cannot be read."""

    path: Path
    target: Target | None
    facts: Facts | None
    refusals: tuple[str, ...]
    started: str = ""  # the flag that the file was started with, such as --version; "" if it was not started


def verify(context: Context, paths: Iterable[Path]) -> list[Verdict]:
    """Run the checks of the gate on files, and on all binaries in directories.

    If a directory has a manifest, every file that the manifest lists must exist, have the listed digest, and pass the
    checks for the listed arch and minimum glibc.

    Raises:
        NothingToDo: there is no binary to verify.
        BuildError: a path does not exist or cannot be read, or dist/ is not a directory.
    """
    verdicts: list[Verdict] = []
    try:
        for path in paths:
            # dist/ is always read as a directory: if it is a file, that is an error.
            if path.is_dir() or (path.exists() and path.absolute() == context.dist.absolute()):
                verdicts += _verify_folder(context, path)
            elif path.is_file():
                verdicts.append(_verify_file(context, path, _arch_of(path), context.config.glibc))
            else:
                raise BuildError(f"{path}: {_absence(path)}")
    except OSError as error:
        raise disk_error(error) from None
    if not verdicts:
        raise NothingToDo("no binaries to verify", "run `buildlib build` first")
    return verdicts


def _absence(path: Path) -> str:
    """Why a path is neither a file nor a directory: it may be a FIFO or a device."""
    return "neither a file nor a directory" if path.exists() else "no such file or directory"


def _verify_folder(context: Context, folder: Path) -> list[Verdict]:
    entries = dist.read(folder)
    listed = {folder / entry["path"] for entry in entries}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in listed and _is_elf(path))
    unlisted = [_verify_file(context, path, _arch_of(path), context.config.glibc) for path in files]
    return [_verify_entry(context, folder, entry) for entry in entries] + unlisted


def _verify_entry(context: Context, folder: Path, entry: Entry) -> Verdict:
    path = folder / entry["path"]
    if not path.is_file() and not path.is_dir():
        return Verdict(path=path, target=None, facts=None, refusals=("file: missing, expected by manifest.json",))
    verdict = _verify_file(context, path, TARGETS.get(entry["arch"]), entry["floor"])
    if verdict.facts and verdict.facts.sha256 != entry["sha256"]:
        mismatch = f"sha256: {verdict.facts.sha256}, expected {entry['sha256']}"
        return replace(verdict, refusals=(*verdict.refusals, mismatch), started="")
    return verdict


def _arch_of(path: Path) -> Target | None:
    """Return the target that the parent directory names, as in dist/<arch>/<binary>."""
    return TARGETS.get(path.absolute().parent.name)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == elf.MAGIC


def _verify_file(context: Context, path: Path, target: Target | None, minimum_glibc: str) -> Verdict:
    try:
        facts = elf.read(path)
    except BuildError as error:
        return Verdict(path=path, target=target, facts=None, refusals=(error.message.removeprefix(f"{path}: "),))
    target = target or elf.guess(facts)
    if target is None:
        refusal = f"machine: {facts.machine}, expected one that buildlib knows"
        return Verdict(path=path, target=None, facts=facts, refusals=(refusal,))
    refusals, started = gate.check(context, path, facts, target, minimum_glibc)
    return Verdict(path=path, target=target, facts=facts, refusals=tuple(refusals), started=started)
