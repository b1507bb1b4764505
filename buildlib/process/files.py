"""Files that appear whole or not at all, and folders that one process holds at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from buildlib.core.errors import BuildError
from buildlib.core.plan import AtomicUpdate, Install, Link, OciLayout


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """The file with exactly `data`, or untouched. An equal file is left alone, so that its time does not change."""
    if _same(path, data, mode):
        return
    beside = _beside(path)
    try:
        _write(beside, data, mode)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def append(path: Path, line: str, limit: int) -> None:
    """One more line. A file of more than `limit` bytes becomes <name>.1 first, and takes the place of the one before."""
    with path.open("ab") as file:
        # Whoever waited for the lock may hold a file that was renamed meanwhile; its line is in the older one then.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(f"{line}\n".encode())
        if file.tell() > limit and path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            os.replace(path, path.with_name(f"{path.name}.1"))


def read_text(path: Path) -> str:
    """The file's text; "" for one that is not there, or that is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def update(act: AtomicUpdate) -> None:
    ready: list[tuple[Path, Path]] = []
    try:
        for source, path in act.copies:
            ready.append((_beside(path), path))
            with _named(path):
                shutil.copy2(source, ready[-1][0])
        for write in act.writes:
            ready.append((_beside(write.path), write.path))
            _write(ready[-1][0], write.text.encode(), write.mode)
        when = act.as_old_as.stat().st_mtime_ns
        for beside, path in ready:  # a rename needs no space
            os.utime(beside, ns=(when, when))
            os.replace(beside, path)
    finally:
        for beside, _ in ready:
            beside.unlink(missing_ok=True)


def _same(path: Path, data: bytes, mode: int) -> bool:
    try:
        return path.read_bytes() == data and path.stat().st_mode & 0o777 == mode
    except FileNotFoundError:
        return False


def _beside(path: Path) -> Path:
    """A name in the same folder, for what will be renamed to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}")


def _write(path: Path, data: bytes, mode: int) -> None:
    with _named(path), open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
        os.fchmod(stream.fileno(), mode)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    # write(2) fails without a name in it; a person wants to know which file.
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def link(act: Link) -> None:
    if act.path.is_symlink() and act.path.readlink() == act.to:
        return
    beside = _beside(act.path)
    beside.symlink_to(act.to)
    os.replace(beside, act.path)


def install(act: Install) -> None:
    beside = _beside(act.into)
    remove_tree(beside)
    try:
        beside.mkdir(parents=True)
        for file in act.source.glob(act.pattern):
            shutil.copy2(file, beside / file.name)
        for name in act.empty:
            (beside / name).parent.mkdir(exist_ok=True)
            (beside / name).touch()
        os.replace(beside, act.into)
    finally:
        remove_tree(beside)


def layout(act: OciLayout) -> None:
    blobs = {blob_path(act.folder, digest): data for digest, data in act.blobs.items()}
    for path, data in blobs.items():
        if isinstance(data, bytes):
            write_whole(path, data)
        elif path != data:
            write_whole(path, data.read_bytes())
    write_whole(act.folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    write_whole(act.folder / "index.json", act.index)
    for path in (act.folder / "blobs").glob("*/*"):
        if path not in blobs:
            path.unlink()


def blob_path(folder: Path, digest: str) -> Path:
    """Where an OCI layout in `folder` has the blob: sha256:<hex> -> blobs/sha256/<hex>."""
    return folder.joinpath("blobs", *digest.split(":"))


def blob_files(folder: Path) -> dict[str, Path]:
    """Every blob of an OCI layout, by the digest that its name says."""
    return {f"{path.parent.name}:{path.name}": path for path in (folder / "blobs").glob("*/*")}


def remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """The folder's lock, for one process at a time; `waiting` is called when another has it. The kernel lets go of it
    when its holder dies, so nothing stale is left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise disk_error(error) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def disk_error(error: OSError) -> BuildError:
    """What the file system refused, in one line."""
    cure = {
        28: "free some space, or write elsewhere: --dist, --target-dir",
        30: "the folder is read-only: write elsewhere with --dist, --target-dir",
        13: "no permission: write elsewhere with --dist, --target-dir",
    }.get(error.errno or 0, "")
    return BuildError(f"{error.filename or 'disk'}: {error.strerror}", cure)
