"""Write files atomically, and lock directories so that one process works in them at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from buildlib.core.errors import BuildError
from buildlib.core.plan import AtomicUpdate, CopyFiles, Install, Link, OciLayout
from buildlib.machine import lock_holders

Waiting = Callable[[str], AbstractContextManager[Callable[[], object]]]
SECOND = 10**9  # in nanoseconds
PAUSE = 0.1  # seconds between two tries to get a lock
IN_THE_WAY = "a file is where a directory belongs: remove it, or write elsewhere with --dist, --target-dir"
# What flock(2) answers on a file system without locks: NFS without its lock daemon, some FUSE and 9p mounts.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file atomically: it contains either `data` or what it contained before, never a part.

    A file that has this content and mode already is not written, which keeps its modification time.
    """
    if _is_equal(path, data, mode):
        return
    temporary = temporary_name(path)
    try:
        with named(path):
            _write(temporary, data, mode)
        rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def append(path: Path, line: str, limit: int) -> None:
    """Append a line. A file of more than `limit` bytes is renamed to <name>.1, which replaces the previous one."""
    with path.open("ab") as file:
        # During the wait for the lock, another process may have renamed the file to <name>.1: then the line goes there.
        flock(file.fileno(), fcntl.LOCK_EX)
        file.write(f"{line}\n".encode())
        if file.tell() > limit and path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            os.replace(path, path.with_name(f"{path.name}.1"))


def read_text(path: Path) -> str:
    """The text of a file; "" for a file that does not exist or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def update(action: AtomicUpdate) -> None:
    """Write all files under temporary names, then rename them. Nothing is renamed if one cannot be written.

    An OSError names the file that could not be written.
    """
    written: list[tuple[Path, Path]] = []
    try:
        for source, path in action.copies:
            written.append((temporary_name(path), path))
            with named(path):
                shutil.copy2(source, written[-1][0])
        for write in action.writes:
            written.append((temporary_name(write.path), write.path))
            with named(write.path):
                _write(written[-1][0], write.text.encode(), write.mode)
        second = action.as_old_as.stat().st_mtime_ns // SECOND - 1
        for temporary, path in written:  # a rename needs no space
            _set_time(temporary, second)
            rename(temporary, path)
        for path in action.removes:
            path.unlink(missing_ok=True)
    finally:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)


def _is_equal(path: Path, data: bytes, mode: int) -> bool:
    try:
        return path.read_bytes() == data and path.stat().st_mode & 0o777 == mode
    except FileNotFoundError:
        return False


def temporary_name(path: Path) -> Path:
    """A temporary name beside `path`, for what will be renamed to it. Creates the directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}")


def _write(path: Path, data: bytes, mode: int) -> None:
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
        os.fchmod(stream.fileno(), mode)


def rename(temporary: Path, path: Path) -> None:
    """Give a temporary file its name. An OSError names `path`, which the user knows."""
    with named(path):
        os.replace(temporary, path)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Add the file's name to an OSError: errors of write(2) have none, and the user needs to know which file it was."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def link(action: Link) -> None:
    """Create or replace a symbolic link atomically."""
    if action.path.is_symlink() and action.path.readlink() == action.to:
        return
    temporary = temporary_name(action.path)
    temporary.symlink_to(action.to)
    rename(temporary, action.path)


def install(action: Install) -> None:
    """Create a directory with copies of files, atomically."""
    temporary = temporary_name(action.into)
    remove_tree(temporary)
    try:
        temporary.mkdir(parents=True)
        for file in action.source.glob(action.pattern):
            shutil.copy2(file, temporary / file.name)
        for name in action.empty:
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).touch()
        rename(temporary, action.into)
    finally:
        remove_tree(temporary)


def copy_files(action: CopyFiles) -> None:
    """Copy files into a new directory, with the modes of the action and times in its second."""
    remove_tree(action.folder)
    action.folder.mkdir(parents=True)
    for source, name, mode in action.files:
        path = action.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with named(path):
            shutil.copyfile(source, path)
        path.chmod(mode)
    for path in (action.folder, *action.folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
            os.utime(path, (action.modified, action.modified))
        else:
            _set_time(path, action.modified)


def _set_time(path: Path, second: int) -> None:
    """Give a file a time within this second, which is another one for other content.

    BuildKit takes a file with the size, mode and time of the last build's for the same file, from any context directory of that
    name (sameFile in fsutil's diff_containerd.go; seen with 0.25.1). The layers of images have whole seconds.
    """
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").digest()
    modified = second * SECOND + int.from_bytes(content[:8]) % SECOND
    os.utime(path, ns=(modified, modified))


def layout(action: OciLayout) -> None:
    """Write an OCI layout: blobs first, then the index, then remove blobs that the index does not need."""
    blobs = {blob_path(action.folder, digest): data for digest, data in action.blobs.items()}
    for path, data in blobs.items():
        if isinstance(data, bytes):
            write_whole(path, data)
        elif path != data:  # a blob may already be in its place
            write_whole(path, data.read_bytes())
    write_whole(action.folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    write_whole(action.folder / "index.json", action.index)
    for path in (action.folder / "blobs").glob("*/*"):
        if path not in blobs:
            path.unlink()


def blob_path(folder: Path, digest: str) -> Path:
    """The path of a blob in the OCI layout `folder`: sha256:<hex> -> blobs/sha256/<hex>."""
    return folder.joinpath("blobs", *digest.split(":"))


def blob_files(folder: Path) -> dict[str, Path]:
    """Every blob of an OCI layout, by the digest that its file name states."""
    return {f"{path.parent.name}:{path.name}": path for path in (folder / "blobs").glob("*/*")}


def remove_tree(folder: Path) -> None:
    """Remove a directory, as far as that is possible."""
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path, waiting: Waiting, warn: Callable[[str], object] | None = None) -> Iterator[None]:
    """Create a directory and hold its lock, which one process at a time has.

    `waiting` is entered while another process holds the lock: it gets what is known of that, and what it returns is called
    several times a second. The kernel releases a lock when its holder ends, so none becomes stale. On a file system without
    locks the work continues without one, and `warn` gets one line about it: commands that run at the same time may then repeat
    each other's work, but every file is still written atomically.

    Raises:
        BuildError: The directory cannot be created or opened.
    """
    for last in (False, False, True):
        handle = _open(folder)
        try:
            has_locks = _acquire(handle, folder, waiting)
            # `buildlib clean` may have removed it during the wait. Three tries: not every file system has lasting inode numbers.
            if not last and not _is_at(handle, folder):
                continue
            if not has_locks and warn:
                warn(f"{folder}: the file system has no locks; do not run two commands there at the same time")
            yield
            return
        finally:
            os.close(handle)


def _open(folder: Path) -> int:
    """Create a directory and open it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise disk_error(error) from None


def _is_at(handle: int, folder: Path) -> bool:
    """Whether the open directory is the one that has this path."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


def _acquire(handle: int, folder: Path, waiting: Waiting) -> bool:
    """Wait for the lock. False where the file system has no locks."""
    has_locks = _try_lock(handle, folder)
    if has_locks is None:
        with waiting(lock_holders.of_directory(handle)) as tick:
            while (has_locks := _try_lock(handle, folder)) is None:
                time.sleep(PAUSE)
                tick()
    return has_locks


def _try_lock(handle: int, folder: Path) -> bool | None:
    """Lock without waiting: None while another process holds the lock, False where the file system has none."""
    try:
        with named(folder):
            return flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as error:
        raise disk_error(error) from None


def flock(handle: int, operation: int) -> bool:
    """Lock an open file. False where the file system has no locks."""
    try:
        fcntl.flock(handle, operation)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def disk_error(error: OSError) -> BuildError:
    """An OSError of the file system as a BuildError of one line, with help for the common causes."""
    help_text = {
        errno.ENOSPC: "free some space, or write elsewhere: --dist, --target-dir",
        errno.EROFS: "the directory is read-only: write elsewhere with --dist, --target-dir",
        errno.EACCES: "no permission: change it, or write elsewhere with --dist, --target-dir",
        errno.EEXIST: IN_THE_WAY,  # of mkdir
        errno.ENOTDIR: IN_THE_WAY,
    }.get(error.errno or 0, "")
    return BuildError(f"{error.filename or 'disk'}: {error.strerror}", help_text)
