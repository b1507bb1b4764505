"""`clean`: what it removes with which option, and what it prints."""

import os
import time
from types import SimpleNamespace

import pytest

from buildlib.cli.app import Buildlib
from buildlib.cli.collection import namespace
from buildlib.cli.commands import clean
from buildlib.cli.entry import report_errors
from buildlib.process.console import Console
from buildlib.report import tables

MONTH = 31 * 86400


def run(*words):
    program = Buildlib(name="buildlib", binary="buildlib", version="0", namespace=namespace)
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(report_errors(Console({}), lambda: program.run(["buildlib", *words]), debug=True))
    return caught.value.code


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A workspace with dist/, target/buildlib, files of others, and a cache. The manifest lists arm64 alone."""
    root, cache = tmp_path / "workspace", tmp_path / "cache"
    for name in ("dist/arm64/app", "dist/SHA256SUMS", "dist/manifest.json", "dist/web/index.html", "dist/amd64/theirs",
                 "target/buildlib/zig/a", "target/buildlib/journal.jsonl", "target/release/theirs"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    for name in ("sysroots/1.96/lib", "libraries/trixie-arm64/x", "builders/b/mark", "tests/theirs"):
        (cache / name).parent.mkdir(parents=True)
        (cache / name).write_text("x")
    monkeypatch.setattr("buildlib.machine.host.cache_folder", lambda: cache)
    monkeypatch.setattr(
        "buildlib.binaries.dist.read", lambda folder: [{"arch": "arm64"}] * (folder / "manifest.json").exists()
    )
    workspace = SimpleNamespace(root=root, target_dir=root / "target", components=())
    context = SimpleNamespace(workspace=workspace, dist=root / "dist")
    monkeypatch.setattr(clean, "open_workspace", lambda *_, **__: context)
    return root


def files(root):
    return sorted(path.relative_to(root.parent).as_posix() for path in root.parent.rglob("*") if path.is_file())


THEIRS = ["cache/builders/b/mark", "cache/tests/theirs", "workspace/dist/amd64/theirs", "workspace/dist/web/index.html",
          "workspace/target/release/theirs"]  # fmt: skip
CACHE = ["cache/libraries/trixie-arm64/x", "cache/sysroots/1.96/lib"]
DIST = ["workspace/dist/SHA256SUMS", "workspace/dist/arm64/app", "workspace/dist/manifest.json"]
TARGET = ["workspace/target/buildlib/journal.jsonl", "workspace/target/buildlib/zig/a"]


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ((), THEIRS + CACHE),
        (("--dist",), THEIRS + CACHE + TARGET),
        (("--cache",), THEIRS + DIST + TARGET),
        (("--cache", "--dist"), THEIRS + TARGET),
        (("--dry-run",), THEIRS + CACHE + DIST + TARGET),
        (("--older-than", "30d"), THEIRS + CACHE + DIST + TARGET),
    ],
)
def test_the_options_say_what_goes(root, words, left, capsys):
    assert run("clean", *words) == 0
    assert files(root) == sorted(left)


def test_sizes_and_ages_are_shown(root, capsys, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: root.stat().st_mtime + MONTH + 3600)
    monkeypatch.setattr(tables, "size", lambda count: f"{bool(count)}")  # blocks depend on the file system
    assert run("clean", "--dry-run", "--older-than", "4w") == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "of      size  age   path",
        f"dist    True  31 d  {root}/dist/arm64",
        f"dist    True  31 d  {root}/dist/SHA256SUMS",
        f"dist    True  31 d  {root}/dist/manifest.json",
        f"target  True  31 d  {root}/target/buildlib/journal.jsonl",
        f"target  True  31 d  {root}/target/buildlib/zig",
        "would remove True",
    ]


def test_a_second_time_there_is_nothing(root, capsys):
    assert run("clean", "--cache", "--dist") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("removed ")
    assert run("clean", "--cache", "--dist") == 0
    assert capsys.readouterr() == ("nothing to remove\n", "")


def test_old_entries_go_and_new_ones_stay(root):
    tree = root.parent / "cache" / "sysroots" / "1.96"
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (time.time() - MONTH,) * 2)
    assert run("clean", "--cache", "--older-than", "30d") == 0
    assert files(root) == sorted(THEIRS + DIST + TARGET + ["cache/libraries/trixie-arm64/x"])


def test_what_is_in_use_is_named_and_the_code_is_1(root, capsys):
    import fcntl

    handle = os.open(root / "target" / "buildlib", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert run("clean") == 1
    finally:
        os.close(handle)
    assert files(root) == sorted(THEIRS + CACHE + TARGET)
    assert capsys.readouterr().err == (
        f"warning: {root}/target/buildlib/journal.jsonl: in use by another command\n"
        f"warning: {root}/target/buildlib/zig: in use by another command\n"
    )


def test_a_dist_that_is_a_link_is_left_alone_and_the_rest_goes(root, capsys):
    (root / "dist").rename(root / "elsewhere")
    (root / "dist").symlink_to(root / "elsewhere")
    assert run("clean") == 1
    assert capsys.readouterr().err == f"warning: {root}/dist: a symbolic link\n"
    assert (root / "elsewhere" / "manifest.json").exists() and not (root / "target" / "buildlib").exists()


def test_a_dist_of_another_tool_is_left_alone(root):
    (root / "dist" / "manifest.json").unlink()
    assert run("clean", "--dist") == 0
    assert (root / "dist" / "arm64" / "app").exists() and (root / "dist" / "SHA256SUMS").exists()


@pytest.mark.parametrize("age", ["30", "d", "-1d", "0d", "1.5d", "30 d", "30D", "9999999d"])
def test_an_age_is_a_number_and_a_unit(root, age, capsys):
    assert run("clean", f"--older-than={age}") == 2
    assert capsys.readouterr().err == f"error: --older-than expects an age such as 12h, 30d or 8w, got {age!r}\n"
    assert files(root) == sorted(THEIRS + CACHE + DIST + TARGET)
