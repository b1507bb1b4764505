"""Remove what buildlib has made: the entries of a few directories, with their sizes. Nothing outside of them, and through no link.

Every directory is opened by its own name without following links, and entries are renamed and removed relative to it: a link that is
put in the way meanwhile leads nowhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildlib.core.errors import BuildError

IN_USE = "in use by another command"
LOCKED_DEPTH = 2  # directories below an entry that a command may have locked
REMOVED = ".removed-"  # the prefix of a directory that is being removed
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A directory whose entries may be removed. `names` are the ones that buildlib makes, in order, None for all.

    With `nested`, the names are directories whose entries count. No component of `folder` below `trusted` may be a link.
    """

    title: str
    folder: Path
    trusted: Path
    names: Sequence[str] | None = None
    nested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or directory that may be removed: bytes on disk, and the time of its newest change (seconds since 1970)."""

    area: Area
    parts: tuple[str, ...]  # below the area's folder
    size: int
    changed: float

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.area.folder.joinpath(*self.parts)


def entries(area: Area) -> list[Entry]:
    """The entries of an area; none if its directory does not exist. BuildError if that is behind a link."""
    if area.names == () or not area.folder.exists():
        return []
    if link := _link(area):
        raise BuildError(
            "a symbolic link" if link == area.folder else f"behind the symbolic link {link}", "remove it by hand"
        )
    found = []
    for parts in _parts(area):
        path = area.folder.joinpath(*parts)
        if not os.path.ismount(path):
            size, changed = _measure(path)
            found.append(Entry(area=area, parts=parts, size=size, changed=changed))
    return found


def _link(area: Area) -> Path | None:
    """The first component of the area's folder below `trusted` that is a link."""
    below = [path for path in (*reversed(area.folder.parents), area.folder) if area.trusted in path.parents]
    return next((path for path in below or [area.folder] if path.is_symlink()), None)


def _parts(area: Area) -> Iterator[tuple[str, ...]]:
    existing = _names(area.folder)
    if area.names is not None:  # in their order: what says what is there goes last
        listed = [name for name in area.names if name in existing]
        existing = [*(name for name in existing if name.startswith(REMOVED)), *listed]
    for name in existing:
        path = area.folder / name
        if area.nested and path.is_dir() and not path.is_symlink():
            yield from ((name, inner) for inner in _names(path))
        else:
            yield (name,)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  names alone
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _measure(root: Path) -> tuple[int, float]:
    """Bytes on disk and the newest change of a tree; a file with several names counts once. What cannot be read counts as nothing."""
    size, changed, seen, waiting = 0, 0.0, set(), [root]
    while waiting:
        path = waiting.pop()
        try:
            status = path.lstat()
        except OSError:
            continue
        changed = max(changed, status.st_mtime)
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            size += status.st_blocks * 512
        if stat.S_ISDIR(status.st_mode):
            waiting += (path / name for name in _names(path))
    return size, changed


def remove(entry: Entry) -> str:
    """Remove an entry. Return why it is still there, "" if it is gone."""
    with contextlib.ExitStack() as stack:
        try:
            handle = _open(stack, entry.area.folder, None)
            for name in entry.parts[:-1]:
                handle = _open(stack, name, handle)
            status = os.stat(entry.parts[-1], dir_fd=handle, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                os.unlink(entry.parts[-1], dir_fd=handle)
                return ""
            _lock_below(stack, _open(stack, entry.parts[-1], handle), LOCKED_DEPTH)
            scratch = f"{REMOVED}{os.getpid()}-{entry.parts[-1].removeprefix(REMOVED)}"
            os.rename(entry.parts[-1], scratch, src_dir_fd=handle, dst_dir_fd=handle)
            shutil.rmtree(scratch, dir_fd=handle)
        except BlockingIOError:
            return IN_USE
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{error.strerror}"
    return ""


def remove_empty(area: Area) -> None:
    """Remove the directories of an area that have become empty, unless they are behind a link or none of its names is known."""
    if area.names == () or _link(area):
        return
    inner = [area.folder / name for name in area.names or ()] if area.nested else []
    for folder in (*inner, area.folder):
        with contextlib.suppress(OSError):  # it is not empty, or not there
            if not folder.is_symlink():
                folder.rmdir()


def _open(stack: contextlib.ExitStack, name: str | Path, parent: int | None) -> int:
    """Open and lock a directory until the stack ends. BlockingIOError if another command has locked it."""
    handle = os.open(name, _FLAGS, dir_fd=parent)
    stack.callback(os.close, handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        pass
    return handle


def _lock_below(stack: contextlib.ExitStack, handle: int, depth: int) -> None:
    """Lock the directories in an open one."""
    if not depth:
        return
    with os.scandir(handle) as found:
        names = [one.name for one in found if one.is_dir(follow_symlinks=False)]
    for name in names:
        _lock_below(stack, _open(stack, name, handle), depth - 1)
