"""What cargo has compiled for this machine, copied between target directories that have its layout."""

import errno
import fcntl
import os
import shutil

import pytest

from buildlib.process import host_units

HASH = "0123456789abcdef"
NO_FILES, ONE_FILE = b"h" * 14, b"h" * 28


def write(path, data, time=1_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(time, time))


def compiled(profile, *, version=b"1", time=1_000, files=NO_FILES, hash=b"f" * 16, digest=HASH):
    """A library with its build script's directory, as cargo up to 1.99 leaves them."""
    unit = profile / ".fingerprint" / f"syn-{digest}"
    for name, data in {"lib-syn": hash, "lib-syn.json": b"{}", "dep-lib-syn": files, "invoked.timestamp": b"t"}.items():
        write(unit / name, data, time)
    for name in (f"libsyn-{digest}.rlib", f"libsyn-{digest}.rmeta", f"syn-{digest}.d"):
        write(profile / "deps" / name, version, time)
    script = profile / "build" / f"syn-{digest}"
    write(script / "build_script_build-1", version, time)
    (script / "build-script-build").unlink(missing_ok=True)
    os.link(script / "build_script_build-1", script / "build-script-build")
    (script / "out").mkdir(exist_ok=True)


def contents(folder):
    """Every file with its bytes and time, every directory without files; cargo's locks are left out."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None
        for path in folder.rglob("*")
        if not path.name.endswith("-lock") and (path.is_file() or not any(path.iterdir()))
    }


@pytest.fixture
def family(tmp_path):
    """The directories of two arches; the first has a unit, and a library for its own target."""
    compiled(tmp_path / "arm64" / "release")
    write(tmp_path / "arm64" / "aarch64-unknown-linux-gnu" / "release" / ".fingerprint" / "a-1" / "lib-a", b"")
    write(tmp_path / "arm64" / "tools" / "rustc", b"#!")
    return tmp_path


def test_a_unit_of_another_arch_is_copied_with_its_times_and_nothing_of_its_target(family):
    host_units.share(family / "armv7")
    assert contents(family / "armv7") == {f"release/{k}": v for k, v in contents(family / "arm64" / "release").items()}
    script = family / "armv7" / "release" / "build" / f"syn-{HASH}"
    assert (script / "build-script-build").samefile(script / "build_script_build-1")


def test_only_what_rustc_replaces_is_one_file_with_the_original(family):
    host_units.share(family / "armv7")
    one, other = family / "arm64" / "release", family / "armv7" / "release"
    same = {
        path.name
        for path in other.rglob("*")
        if path.suffix and path.is_file() and (one / path.relative_to(other)).stat().st_ino == path.stat().st_ino
    }
    assert same == {f"libsyn-{HASH}.rlib", f"libsyn-{HASH}.rmeta"}


@pytest.mark.parametrize("files", [NO_FILES, ONE_FILE])
@pytest.mark.parametrize("time", [999, 1_000, 1_001])
def test_only_an_older_unit_whose_sources_may_change_is_replaced(family, files, time):
    """A registry's sources do not change: a newer time would make cargo compile everything again that was compiled with it."""
    compiled(family / "arm64" / "release", files=files, version=b"theirs")
    compiled(family / "armv7" / "release", files=files, version=b"own", time=time)
    host_units.share(family / "armv7")
    library = family / "armv7" / "release" / "deps" / f"libsyn-{HASH}.rlib"
    assert library.read_bytes() == (b"theirs" if files == ONE_FILE and time == 999 else b"own")


def test_a_unit_that_is_being_compiled_is_not_copied(family):
    compiled(family / "arm64" / "release", hash=b"")
    host_units.share(family / "armv7")
    assert contents(family / "armv7") == {}


def test_a_unit_that_is_compiled_again_meanwhile_has_no_fingerprint(family, monkeypatch):
    copy = shutil.copy2

    def slow(source, into):
        copy(source, into)
        os.utime(family / "arm64" / "release" / ".fingerprint" / f"syn-{HASH}" / "invoked.timestamp", ns=(2_000, 2_000))

    monkeypatch.setattr(shutil, "copy2", slow)
    host_units.share(family / "armv7")
    assert not list((family / "armv7" / "release" / ".fingerprint").iterdir())


@pytest.mark.parametrize("broken", range(7))
def test_a_copy_that_ends_anywhere_is_no_unit(family, monkeypatch, broken):
    """As of a full disk, or of kill -9; what was left of it is in nobody's way the next time."""
    copy, calls = host_units._copy_file, []

    def failing(source, into):
        calls.append(into)
        if len(calls) > broken:
            raise OSError("no space")
        copy(source, into)

    with monkeypatch.context() as patch:
        patch.setattr(host_units, "_copy_file", failing)
        patch.setattr(host_units, "remove_tree", lambda folder: None)
        with pytest.raises(OSError, match="no space"):
            host_units.share(family / "armv7")
    fingerprints = family / "armv7" / "release" / ".fingerprint"
    assert not [path for path in (fingerprints.iterdir() if fingerprints.is_dir() else ()) if path.name[0] != "."]
    host_units.share(family / "armv7")
    assert contents(family / "armv7" / "release") == contents(family / "arm64" / "release")


@pytest.mark.parametrize("name", [".cargo-lock", ".cargo-build-lock"])
def test_nothing_is_copied_to_where_a_cargo_runs(family, name):
    lock = family / "armv7" / "release" / name
    write(lock, b"")
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        host_units.share(family / "armv7")
    assert contents(family / "armv7") == {}


def test_a_file_system_without_links_and_locks_gets_copies(family, monkeypatch):
    """exFAT, and shared folders of virtual machines; cargo works there."""

    def refused(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def unsupported(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(fcntl, "flock", unsupported)
    host_units.share(family / "armv7")
    assert contents(family / "armv7") == {f"release/{k}": v for k, v in contents(family / "arm64" / "release").items()}


def test_cargo_s_newer_layout(tmp_path):
    unit = tmp_path / "arm64" / "release" / "build" / "syn" / HASH
    for name, data in {"lib-syn": b"f" * 16, "lib-syn.json": b"{}", "dep-lib-syn": NO_FILES}.items():
        write(unit / "fingerprint" / name, data)
    write(unit / "out" / f"libsyn-{HASH}.rlib", b"1")
    host_units.share(tmp_path / "armv7")
    assert contents(tmp_path / "armv7") == contents(tmp_path / "arm64") != {}


def test_a_directory_alone_has_nothing_to_copy(tmp_path):
    host_units.share(tmp_path / "family" / "arm64")
    assert contents(tmp_path) == {}
