"""Copy what cargo has compiled for this machine (build scripts, procedural macros) between the target directories of arches.

Each arch has a target directory of its own, because cargo locks the directory of this machine's units for as long as it runs. In all
of them cargo gives the same unit the same name, a hash of everything that it is made from except the sources themselves. What is
copied is checked by cargo as if it had been compiled there; what is not there, or not up to date, cargo compiles.

A unit is complete only with the directory of its fingerprint, which is copied last and appears by a rename, unless the unit was
compiled once more meanwhile. Nothing is copied to where a cargo runs. Libraries become links, because rustc replaces them and never
writes into them; linkers and cargo write into other files.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from buildlib.process.files import flock, remove_tree

FINGERPRINTS = ".fingerprint"
LOCKS = (".cargo-lock", ".cargo-build-lock")  # Layout::new in cargo's layout.rs
STAMP = "invoked.timestamp"  # cargo writes it when it starts with a unit
HASH = re.compile(r"-([0-9a-f]{16})(?:\.|$)")
LINKED = (".rlib", ".rmeta")
# Cargo's list of the files that a unit was compiled from, without any: those of registries do not change. A header, and the numbers of
# files and variables.
NO_FILES = 14


def share(into: Path) -> None:
    """Copy into the target directory of an arch what those beside it have and it lacks. OSError as of the file system."""
    for folder in _folders(into.parent):
        for profile in _folders(folder) if folder != into else ():
            is_host = (profile / FINGERPRINTS).is_dir() or any((profile / "build").glob("*/*/fingerprint"))
            with _locked(into / profile.name) if is_host else nullcontext(False) as is_free:
                if is_free:
                    _share(profile, into / profile.name)
                    _share_unit_folders(profile, into / profile.name)


@contextmanager
def _locked(profile: Path) -> Iterator[bool]:
    """Hold cargo's locks on a directory of units. False while a cargo holds one."""
    profile.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            for name in LOCKS:
                file = stack.enter_context(open(profile / name, "ab"))
                flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)  # without locks cargo goes on too
        except BlockingIOError:
            yield False
            return
        yield True


def _share(source: Path, into: Path) -> None:
    """One profile, in the layout of cargo up to 1.99: a directory for the fingerprints of all units, and one for their files."""
    found = [(unit, _stamp(unit)) for unit in _folders(source / FINGERPRINTS)]
    wanted = [(unit, begun) for unit, begun in found if _is_wanted(unit, into / FINGERPRINTS / unit.name)]
    files = _by_hash(source / "deps") if wanted else {}
    for unit, begun in wanted:
        remove_tree(into / FINGERPRINTS / unit.name)
        for file in files.get(unit.name[-16:], ()):
            _copy_file(file, into / "deps" / file.name)
        _copy_folder(source / "build" / unit.name, into / "build" / unit.name)
        _copy_folder(unit, into / FINGERPRINTS / unit.name, (unit, begun))


def _share_unit_folders(source: Path, into: Path) -> None:
    """One profile, in the layout of cargo from 1.100 on: a directory for each unit, build/<package>/<hash>."""
    for package in _folders(source / "build"):
        for unit in _folders(package):
            place = into / "build" / package.name / unit.name
            facts, begun = unit / "fingerprint", _stamp(unit / "fingerprint")
            if facts.is_dir() and _is_wanted(facts, place / "fingerprint"):
                _copy_folder(unit, place, (facts, begun))


def _is_wanted(unit: Path, own: Path) -> bool:
    """Whether to copy a unit, given the directory of its fingerprint: it is complete, and the own one is missing or out of date.

    Only units of path dependencies get out of date without another name. Others are never replaced: what was compiled from them here
    would count as older than they are.
    """
    entries = {entry.name: entry.stat() for entry in os.scandir(unit)}
    # Cargo empties the hash of a unit while it compiles it.
    if not any(f"{name}.json" in entries and facts.st_size for name, facts in entries.items()):
        return False
    if not own.is_dir():
        return True
    changes = any(name.startswith("dep-") and facts.st_size > NO_FILES for name, facts in entries.items())
    return changes and _stamp(unit) > _stamp(own)


def _stamp(unit: Path) -> int:
    try:
        return (unit / STAMP).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _folders(folder: Path) -> Iterator[Path]:
    """The directories in a directory, sorted; none if it does not exist. What a killed command has left begins with a dot."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (Path(entry.path) for entry in entries if entry.name[0] != "." and entry.is_dir(follow_symlinks=False))


def _by_hash(folder: Path) -> dict[str, list[Path]]:
    """The files of all units, by the hash in their names."""
    found: dict[str, list[Path]] = defaultdict(list)
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if entry.is_file() and (match := HASH.search(entry.name)):
            found[match[1]].append(Path(entry.path))
    return found


def _copy_folder(source: Path, into: Path, stamped: tuple[Path, int] | None = None) -> None:
    """Copy a directory, if it exists; the copy appears as a whole. Two names of one file stay that.

    Nothing appears if the fingerprint has another time at the end than `stamped` says.
    """
    if not source.is_dir():
        return
    temporary = into.with_name(f".{into.name}.{os.getpid()}")
    remove_tree(temporary)
    try:
        copied: dict[int, Path] = {}
        for file in _files(source):
            place = temporary / file.relative_to(source)
            facts = file.stat()
            inode = facts.st_ino if facts.st_nlink > 1 else 0  # where there are no links, numbers may not be unique
            if inode and inode in copied:
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(copied[inode], place)
            else:
                _copy_file(file, place)
                copied[inode] = place
        for folder in (
            source,
            *_tree(source),
        ):  # those without files are among them: a build script may need its OUT_DIR
            (temporary / folder.relative_to(source)).mkdir(parents=True, exist_ok=True)
        if stamped is None or _stamp(stamped[0]) == stamped[1]:
            remove_tree(into)
            temporary.rename(into)
    finally:
        remove_tree(temporary)


def _tree(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _copy_file(source: Path, into: Path) -> None:
    """Copy a file with its time, by which cargo tells whether it is up to date. A library becomes a second name of the same file."""
    into.parent.mkdir(parents=True, exist_ok=True)
    into.unlink(missing_ok=True)
    if source.suffix in LINKED:
        _link(source, into)
    else:
        shutil.copy2(source, into)


def _link(source: Path, into: Path) -> None:
    """Give a file a second name. As cargo does, copy it where the file system has no links (exFAT, some shared folders)."""
    try:
        os.link(source, into)
    except OSError:
        shutil.copy2(source, into)
