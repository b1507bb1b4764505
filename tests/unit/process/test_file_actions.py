"""Copies of files with another beginning and end."""

import errno
import os

import pytest

from buildlib.core.plan import Extend
from buildlib.process import file_actions
from buildlib.process.file_actions import execute


@pytest.fixture
def action(tmp_path):
    (tmp_path / "app").write_bytes(b"0123456789")
    (tmp_path / "app").chmod(0o750)
    return Extend(source=tmp_path / "app", path=tmp_path / "new" / "app", head=b"ab", tail=b"end")


@pytest.mark.parametrize("part", [1, 3, 1 << 20])
def test_a_copy_with_another_beginning_and_end(action, part, monkeypatch):
    monkeypatch.setattr(file_actions, "PART", part)
    execute(action)
    assert (action.path.read_bytes(), action.path.stat().st_mode & 0o777) == (b"ab23456789end", 0o750)
    assert [path.name for path in action.path.parent.iterdir()] == ["app"]
    assert action.source.read_bytes() == b"0123456789"


@pytest.mark.parametrize("data", [b"ab23456789eNd", b"ab23456789en", b"ab23456789end.", b"", b"Xb23456789end"])
def test_an_equal_file_keeps_its_time_and_any_other_is_replaced(action, data):
    execute(action)
    os.utime(action.path, (1, 1))
    execute(action)
    assert action.path.stat().st_mtime == 1
    action.path.write_bytes(data)
    execute(action)
    assert action.path.read_bytes() == b"ab23456789end"
    action.source.chmod(0o755)
    execute(action)
    assert action.path.stat().st_mode & 0o777 == 0o755


def test_what_fails_leaves_nothing_and_names_the_file(action, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_actions.os, "fchmod", full)
    with pytest.raises(OSError, match="No space left") as caught:
        execute(action)
    assert caught.value.filename == str(action.path) and list(action.path.parent.iterdir()) == []
