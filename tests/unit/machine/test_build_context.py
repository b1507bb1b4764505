import os

import pytest

from buildlib.core.errors import UsageError
from buildlib.machine import build_context


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.go").write_text("package main\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return tmp_path


def digest(folder):
    return build_context.digest(folder, folder / "Dockerfile")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "src" / "main.go").write_text("package other\n"),
        lambda folder: (folder / "src" / "main.go").chmod(0o755),
        lambda folder: (folder / "src" / "new").mkdir(),
        lambda folder: (folder / "src" / "main.go").rename(folder / "src" / "other.go"),
        lambda folder: (folder / "link").symlink_to("src"),
        lambda folder: (folder / ".dockerignore").write_text("src\n"),
        lambda folder: os.mkfifo(folder / "pipe"),
    ],
)
def test_what_copy_would_see_changes_the_digest(folder, change):
    before = digest(folder)
    change(folder)
    assert digest(folder) != before


def test_times_do_not_change_it(folder):
    before = digest(folder)
    os.utime(folder / "src" / "main.go", (1, 1))
    assert digest(folder) == before


def test_ignored_files_do_not_change_it(folder):
    (folder / ".dockerignore").write_text("# comment\n\ntarget/\n**/*.log\n!keep.log\n")
    before = digest(folder)
    (folder / "target").mkdir()
    (folder / "target" / "a").write_text("1")
    (folder / "src" / "x.log").write_text("1")
    assert digest(folder) == before
    (folder / "keep.log").write_text("1")
    assert digest(folder) != before


def test_the_ignore_file_of_the_dockerfile_takes_precedence(folder):
    (folder / ".dockerignore").write_text("src\n")
    (folder / "Dockerfile.dockerignore").write_text("other\n")
    assert "src/main.go" in set(build_context.files(folder, folder / "Dockerfile"))


def test_names_and_contents_cannot_be_confused(tmp_path):
    digests = set()
    for number, (name, text) in enumerate([("a", "bc"), ("ab", "c"), ("abc", "")]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / name).write_text(text)
        digests.add(digest(tmp_path / str(number)))
    assert len(digests) == 3


def test_a_name_that_is_not_utf_8(folder):
    (folder / os.fsdecode(b"\xff")).write_text("x")
    assert len(digest(folder)) == 64


def test_a_file_that_disappears_is_one_message(folder, monkeypatch):
    monkeypatch.setattr(build_context, "files", lambda *_: iter(["no"]))
    with pytest.raises(UsageError) as caught:
        digest(folder)
    assert caught.value.message == f"{folder / 'no'}: No such file or directory"


def test_what_is_recorded_there_does_not_change_it(folder):
    records = [folder / ".build-failures.log", folder / "target" / "buildlib"]

    def now():
        return build_context.digest(folder, folder / "Dockerfile", records)

    before = now()
    (folder / "target" / "buildlib" / "reports").mkdir(parents=True)
    (folder / "target" / "buildlib" / "journal.jsonl").write_text("x")
    (folder / ".build-failures.log").write_text("x")
    assert now() == before
    assert build_context.not_ignored(folder, folder / "Dockerfile", records) == records
    (folder / "target" / "other").write_text("x")
    assert now() != before
    (folder / ".dockerignore").write_text("target\n.build-failures.log\n")
    assert build_context.not_ignored(folder, folder / "Dockerfile", records) == []
