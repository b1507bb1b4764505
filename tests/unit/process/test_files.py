import contextlib
import errno
import fcntl
import os
import threading

import pytest

from buildlib.core.errors import BuildError
from buildlib.core.plan import AtomicUpdate, CopyFiles, Install, Link, Write
from buildlib.process.files import NO_LOCKS, append, copy_files, install, link, locked, update, write_whole


def test_an_equal_file_keeps_its_time(tmp_path):
    file = tmp_path / "deep" / "f"
    write_whole(file, b"one", 0o755)
    os.utime(file, (1, 1))
    write_whole(file, b"one", 0o755)
    assert file.stat().st_mtime == 1 and file.stat().st_mode & 0o777 == 0o755
    write_whole(file, b"two", 0o755)
    assert file.read_bytes() == b"two" and [p.name for p in file.parent.iterdir()] == ["f"]


def test_all_of_an_update_appears_or_nothing(tmp_path):
    (tmp_path / "new").write_text("new")
    dist = tmp_path / "dist"
    writes = (Write(path=dist / "manifest.json", text="m"),)
    update(
        AtomicUpdate(copies=((tmp_path / "new", dist / "arm64" / "app"),), writes=writes, as_old_as=tmp_path / "new")
    )
    second = int((tmp_path / "new").stat().st_mtime) - 1
    assert [int(p.stat().st_mtime) for p in dist.rglob("*") if p.is_file()] == [second, second]
    assert (dist / "arm64" / "app").read_text() == "new"
    missing = AtomicUpdate(
        copies=((tmp_path / "new", dist / "b"), (tmp_path / "absent", dist / "c")), writes=writes, as_old_as=tmp_path
    )
    with pytest.raises(OSError, match="No such file") as caught:
        update(missing)
    assert caught.value.filename == str(dist / "c")
    assert sorted(str(p.relative_to(dist)) for p in dist.rglob("*")) == ["arm64", "arm64/app", "manifest.json"]


def test_install_and_link(tmp_path):
    source = tmp_path / "deps"
    source.mkdir()
    (source / "libstd-1.rlib").write_text("std")
    (source / "libstd-1.d").write_text("d")
    into = tmp_path / "root" / "lib"
    install(Install(source=source, pattern="*.rlib", into=into, empty=("self-contained/crt1.o",)))
    assert sorted(str(p.relative_to(into)) for p in into.rglob("*")) == [
        "libstd-1.rlib",
        "self-contained",
        "self-contained/crt1.o",
    ]
    for to in (tmp_path, source):
        link(Link(path=tmp_path / "root" / "link", to=to))
        assert (tmp_path / "root" / "link").readlink() == to


def test_copies_have_the_modes_and_the_time_of_the_action(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "a").chmod(0o600)
    (tmp_path / "copy" / "old").mkdir(parents=True)
    umask = os.umask(0o077)
    try:
        copy_files(CopyFiles(folder=tmp_path / "copy", files=((tmp_path / "a", "x/y", 0o644),), modified=7))
    finally:
        os.umask(umask)
    paths = (tmp_path / "copy", *(tmp_path / "copy").rglob("*"))
    assert [(path.name, oct(path.stat().st_mode), int(path.stat().st_mtime)) for path in paths] == [
        ("copy", "0o40755", 7), ("x", "0o40755", 7), ("y", "0o100644", 7),
    ]  # fmt: skip
    absent = CopyFiles(folder=tmp_path / "copy", files=((tmp_path / "absent", "z", 0o644),), modified=7)
    with pytest.raises(OSError, match="No such file"):
        copy_files(absent)


def test_a_file_of_the_same_size_has_another_time_if_its_content_is_another(tmp_path):
    source, manifest = tmp_path / "source", tmp_path / "Cargo.toml"
    manifest.touch()
    os.utime(manifest, (1_700_000_000, 1_700_000_000))
    times = []
    for text in ("port = 1883\n", "port = 1884\n", "port = 1883\n"):
        source.write_text(text)
        copy_files(CopyFiles(folder=tmp_path / "context", files=((source, "app", 0o644),), modified=1_700_000_000))
        update(AtomicUpdate(copies=((source, tmp_path / "dist" / "app"),), writes=(), as_old_as=manifest))
        times.append([(tmp_path / folder / "app").stat().st_mtime_ns for folder in ("context", "dist")])
    assert times[0] == times[2] and not {*times[0]} & {*times[1]}
    assert [[time // 10**9 for time in both] for both in times] == 3 * [[1_700_000_000, 1_699_999_999]]


def test_a_log_is_rotated(tmp_path):
    path = tmp_path / "log"
    for number in range(100):
        append(path, f"line {number}", 200)
    kept = [*(tmp_path / "log.1").read_text().splitlines(), *path.read_text().splitlines()]
    assert kept == [f"line {number}" for number in range(100)][-len(kept) :]
    assert path.stat().st_size <= 210 and len(list(tmp_path.iterdir())) == 2


# --- locks --------------------------------------------------------------------------------------------------------


def reporting(report):
    """What is entered during a wait: `report` gets what is known of the holder."""

    @contextlib.contextmanager
    def waiting(holder):
        report(holder)
        yield lambda: None

    return waiting


NEVER = reporting(lambda _: pytest.fail("nothing to wait for"))


def test_one_holds_the_lock_and_the_next_reports_that_it_waits(tmp_path):
    events, waits = [], threading.Event()

    def second():
        with locked(tmp_path, reporting(lambda holder: (events.append(holder), waits.set()))):
            events.append("second")

    with locked(tmp_path, NEVER):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60)
        events.append("first is done")
    thread.join(60)
    assert events[1:] == ["first is done", "second"] and events[0].endswith(f", process {os.getpid()}")


def with_lock(folder):
    """Lock a directory, without waiting."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def test_a_directory_that_is_removed_during_the_wait_is_made_again(tmp_path):
    folder, waits, seen = tmp_path / "d", threading.Event(), []

    def second():
        with locked(folder, reporting(lambda _: waits.set())):
            seen.append(folder.is_dir())
            with pytest.raises(BlockingIOError):  # the lock is that of the new directory
                with_lock(folder)

    with locked(folder, NEVER):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60)
        folder.rmdir()
    thread.join(60)
    assert seen == [True]


def test_where_inode_numbers_do_not_last_the_work_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr("os.path.samestat", lambda *_: False)
    with locked(tmp_path, NEVER):
        (tmp_path / "f").touch()
    assert (tmp_path / "f").exists()


def refusing(number, when=lambda operation: True):
    """A flock(2) that fails with this error."""
    real = fcntl.flock

    def flock(handle, operation):
        if when(operation):
            raise OSError(number, os.strerror(number))
        real(handle, operation)

    return flock


@pytest.mark.parametrize("number", NO_LOCKS, ids=errno.errorcode.get)
def test_a_file_system_without_locks_is_used_without_one(tmp_path, monkeypatch, number):
    """As NFS without its lock daemon: the work is done, after one warning."""
    monkeypatch.setattr(fcntl, "flock", refusing(number))
    waits, warnings = [], []
    with locked(tmp_path / "d", reporting(waits.append), warnings.append):
        (tmp_path / "d" / "f").touch()
    with locked(tmp_path / "d", reporting(waits.append)):
        pass
    assert (waits, warnings) == (
        [], [f"{tmp_path}/d: the file system has no locks; do not run two commands there at the same time"],
    )  # fmt: skip


def test_a_log_is_written_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    append(tmp_path / "log", "line", 100)
    assert (tmp_path / "log").read_text() == "line\n"


def test_locks_that_end_while_one_waits(tmp_path, monkeypatch):
    errors = [BlockingIOError(errno.EWOULDBLOCK, "busy")] * 2 + [OSError(errno.ENOLCK, "No locks available")]

    def flock(handle, operation):
        raise errors.pop(0)

    monkeypatch.setattr(fcntl, "flock", flock)
    waits, warnings = [], []
    with locked(tmp_path, reporting(waits.append), warnings.append):
        pass
    assert (errors, waits, len(warnings)) == ([], [""], 1)


def test_another_error_is_reported_with_the_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refusing(errno.EIO))
    with pytest.raises(BuildError) as caught, locked(tmp_path, NEVER):
        pass
    assert caught.value.message == f"{tmp_path}: Input/output error"
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="file"), locked(tmp_path / "file", NEVER):
        pass


def test_an_error_of_the_work_is_not_one_of_the_lock(tmp_path):
    with pytest.raises(BlockingIOError, match="work"), locked(tmp_path, NEVER):
        raise BlockingIOError("work")


def test_an_error_names_the_file_and_not_its_temporary_name(tmp_path):
    folder, to = tmp_path / "folder", tmp_path / "to"
    folder.mkdir()
    to.touch()
    with pytest.raises(IsADirectoryError) as caught:
        update(AtomicUpdate(copies=(), writes=(Write(path=folder, text="x"),), as_old_as=to))
    assert caught.value.filename == str(folder)
    with pytest.raises(IsADirectoryError) as caught:
        link(Link(path=folder, to=to))
    assert caught.value.filename == str(folder)
