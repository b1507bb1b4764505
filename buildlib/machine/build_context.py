"""What a build context contains: the files of a directory that BuildKit would read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from buildlib.core.errors import UsageError

IGNORE_FILE = ".dockerignore"


def digest(folder: Path, dockerfile: Path, without: Iterable[Path] = ()) -> str:
    """A digest of all files in `folder` that are not ignored: their paths, permissions and content, not their times and owners.

    Files and directories in `without` do not count, nor do directories of which they are all.

    BuildKit's own cache ignores times too. Ignored are the patterns in <Dockerfile>.dockerignore beside it, or in .dockerignore of
    the directory, as Docker's SDK reads them; where it and BuildKit differ, it includes more files. UsageError for a file that
    cannot be read.
    """
    result = hashlib.sha256()
    try:
        for name in sorted(set(files(folder, dockerfile)) - _hidden(folder, without)):
            for part in _described(folder / name):
                result.update(f"{len(name)}:{name}{len(part)}:".encode("utf-8", "surrogateescape") + part)
    except OSError as error:
        help_text = f"make it readable, or add it to {IGNORE_FILE}"
        raise UsageError(f"{error.filename or folder}: {error.strerror}", help_text) from None
    return result.hexdigest()


def not_ignored(folder: Path, dockerfile: Path, paths: Iterable[Path]) -> list[Path]:
    """Those of these files and directories that are in the context."""
    inside = {folder.resolve() / name for name in files(folder, dockerfile)}
    return [path for path in map(Path.resolve, paths) if path in inside]


def _hidden(folder: Path, paths: Iterable[Path]) -> set[str]:
    """The names in `folder` of these paths, of what is in them, and of directories that have nothing else."""
    top, hidden = folder.resolve(), set[str]()
    for path in map(Path.resolve, paths):
        if not path.is_relative_to(top) or path == top or not path.exists():
            continue
        hidden |= {str(one.relative_to(top)) for one in (path, *path.rglob("*"))}
        for parent in path.parents:
            if parent == top or any(str(one.relative_to(top)) not in hidden for one in parent.iterdir()):
                break
            hidden.add(str(parent.relative_to(top)))
    return hidden


def files(folder: Path, dockerfile: Path) -> Iterator[str]:
    """The paths of files and directories in `folder` that are not ignored, relative to it."""
    from docker.utils.build import PatternMatcher  # loads requests, which few commands need

    own = dockerfile.with_name(f"{dockerfile.name}{IGNORE_FILE}")
    ignored = own if own.is_file() else folder / IGNORE_FILE
    lines = ignored.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines() if ignored.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    yield from PatternMatcher(patterns).walk(str(folder))


def _described(path: Path) -> Iterator[bytes]:
    status = path.lstat()
    yield f"{status.st_mode:o}".encode()
    if stat.S_ISLNK(status.st_mode):
        yield os.fsencode(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        with path.open("rb") as stream:
            yield hashlib.file_digest(stream, "sha256").digest()
