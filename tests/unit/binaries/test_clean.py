"""Removing what buildlib made: sizes, ages, locks, and nothing outside of it."""

import fcntl
import os

import pytest

from buildlib.binaries.clean import IN_USE, Area, Entry, entries, remove, remove_empty
from buildlib.core.errors import BuildError


@pytest.fixture
def area(tmp_path):
    """A directory with a tree, a file and a link, in a directory with a file that must stay."""
    folder = tmp_path / "root" / "target" / "buildlib"
    (folder / "zig-2.31" / "release" / "deps").mkdir(parents=True)
    (folder / "zig-2.31" / "release" / "deps" / "a").write_bytes(b"x" * 8192)
    os.link(folder / "zig-2.31" / "release" / "deps" / "a", folder / "zig-2.31" / "release" / "a")
    (folder / "journal.jsonl").write_text("{}\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "zig-2.31" / "release" / "inner").symlink_to(tmp_path / "outside")
    return Area(title="target", folder=folder, trusted=tmp_path / "root")


def names(area):
    return [entry.path.relative_to(area.folder).as_posix() for entry in entries(area)]


def test_everything_in_it_goes_and_nothing_behind_a_link(area, tmp_path):
    assert names(area) == ["journal.jsonl", "link", "zig-2.31"]
    assert [remove(entry) for entry in entries(area)] == ["", "", ""]
    remove_empty(area)
    assert not area.folder.exists() and area.folder.parent.is_dir()
    assert (tmp_path / "outside" / "kept").read_text() == "kept"


def test_a_file_with_two_names_counts_once_and_the_newest_change_counts(area):
    tree = area.folder / "zig-2.31"
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (1000, 1000), follow_symlinks=False)
    os.utime(tree / "release" / "a", (5000, 5000))
    entry = entries(area)[-1]
    blocks = sum(path.lstat().st_blocks for path in (tree, *tree.rglob("*")) if path != tree / "release" / "a")
    assert entry == Entry(area=area, parts=("zig-2.31",), size=512 * blocks, changed=5000)


@pytest.mark.parametrize("inside", ["", "zig-2.31", "zig-2.31/release"])
def test_what_another_command_has_locked_is_left_alone(area, inside):
    handle = os.open(area.folder / inside, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert remove(entries(area)[-1]) == IN_USE
        assert (area.folder / "zig-2.31" / "release" / "a").exists()
    finally:
        os.close(handle)
    assert remove(entries(area)[-1]) == ""
    assert names(area) == ["journal.jsonl", "link"]


@pytest.mark.parametrize("name", ["target", "target/buildlib"])
def test_an_area_behind_a_link_is_refused(area, tmp_path, name):
    path = tmp_path / "root" / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BuildError) as caught:
        entries(area)
    assert caught.value.message == ("a symbolic link" if path == area.folder else f"behind the symbolic link {path}")


def test_nothing_behind_a_link_is_no_error_and_an_empty_directory_there_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target").symlink_to(tmp_path / "elsewhere")
    area = Area(title="target", folder=tmp_path / "target" / "buildlib", trusted=tmp_path)
    assert entries(area) == []
    (tmp_path / "elsewhere" / "buildlib").mkdir()
    remove_empty(area)
    assert (tmp_path / "elsewhere" / "buildlib").is_dir()


def test_an_area_without_names_is_of_somebody_else(tmp_path):
    (tmp_path / "dist").mkdir()
    area = Area(title="dist", folder=tmp_path / "dist", trusted=tmp_path, names=())
    assert entries(area) == []
    remove_empty(area)
    assert (tmp_path / "dist").is_dir()


def test_a_link_that_is_put_in_the_way_meanwhile_leads_nowhere(area, tmp_path):
    found = entries(area)[-1]
    (tmp_path / "outside" / "zig-2.31").mkdir()
    area.folder.rename(tmp_path / "moved")
    area.folder.symlink_to(tmp_path / "outside")
    assert remove(found) == "Not a directory"
    assert (tmp_path / "outside" / "zig-2.31").is_dir() and (tmp_path / "moved" / "zig-2.31").is_dir()


def test_only_the_names_of_an_area_and_what_an_earlier_command_left(tmp_path):
    for name in ("sysroots/1.96", "sysroots/1.95", "notes", ".removed-7-x"):
        (tmp_path / name).mkdir(parents=True)
    area = Area(title="cache", folder=tmp_path, trusted=tmp_path.parent, names=("starts", "sysroots"))
    assert names(area) == [".removed-7-x", "sysroots"]
    nested = Area(title="cache", folder=tmp_path, trusted=tmp_path.parent, names=("starts", "sysroots"), nested=True)
    (tmp_path / ".removed-7-x").rmdir()
    assert names(nested) == ["sysroots/1.95", "sysroots/1.96"]
    assert [remove(entry) for entry in entries(nested)] == ["", ""]
    remove_empty(nested)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_a_nested_directory_that_is_a_link_goes_alone(tmp_path):
    (tmp_path / "outside" / "kept").mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "sysroots").symlink_to(tmp_path / "outside")
    area = Area(title="cache", folder=tmp_path / "cache", trusted=tmp_path, names=("sysroots",), nested=True)
    assert names(area) == ["sysroots"]
    assert [remove(entry) for entry in entries(area)] == [""]
    assert (tmp_path / "outside" / "kept").is_dir()


def test_what_is_gone_already_is_no_error(area):
    found = entries(area)
    for entry in found:
        remove(entry)
    assert [remove(entry) for entry in found] == ["", "", ""]
    assert entries(Area(title="dist", folder=area.folder / "absent", trusted=area.trusted)) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_what_the_system_refuses_is_reported(area):
    area.folder.chmod(0o555)
    try:
        assert remove(entries(area)[0]) == "Permission denied"
    finally:
        area.folder.chmod(0o755)
