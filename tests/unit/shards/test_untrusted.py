"""What another machine has written is not trusted: links, other names, large files, JSON of any form."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import COMMIT, part, write

from buildlib import __version__
from buildlib.core.errors import BuildError, Refused, UsageError
from buildlib.shards import binaries, record, result
from buildlib.shards.record import entry_digest


def test_a_part_is_read(tmp_path):
    folder = part(tmp_path / "one", "1/2")
    read = result.read(folder)
    assert (str(read), read.names, list(read.entries)) == (f"{folder} (1/2)", ("amd64-musl",), ["amd64-musl/a"])
    assert (read.record.commit, read.record.buildlib) == (COMMIT, __version__)


def test_a_directory_that_is_not_a_part_is_a_usage_error(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, message in {"none": "no such directory", "file": "not a directory"}.items():
        with pytest.raises(UsageError) as caught:
            result.read(tmp_path / name)
        assert caught.value.message == f"{tmp_path / name}: {message}"
    with pytest.raises(UsageError) as caught:
        result.read(tmp_path / "empty")
    assert caught.value.message == f"{tmp_path / 'empty'}: no shard/shard.json: not a part of a command with --shard"


def test_a_directory_means_the_parts_in_it(tmp_path):
    """download-artifact gives each of several artifacts a directory, and a single one none."""
    parts = tmp_path / "parts"
    (parts / "beside").mkdir(parents=True)
    one, two = part(parts / "part-amd64-musl", "1/2"), part(parts / "part-armv7-musl", "2/2")
    assert result.found(parts) == [one, two]
    assert result.found(one) == [one]
    assert result.found(parts / "beside") == [parts / "beside"]  # an error, when it is read
    assert result.found(tmp_path / "none") == [tmp_path / "none"]


def test_a_full_disk_is_not_the_fault_of_a_part(tmp_path):
    folder = part(tmp_path / "one", "1/2")
    with pytest.raises(BuildError) as caught:
        result.copy(folder, "amd64-musl/a", Path("/dev/full"))
    assert (caught.value.message, caught.value.help) == (
        "/dev/full: No space left on device", "free some space, or set TMPDIR to a directory elsewhere",
    )  # fmt: skip


@pytest.mark.parametrize("change", [{"floor": "99.0"}, {"toolchain": "x"}, {"libraries": []}], ids=str)
def test_a_changed_entry_of_the_manifest_is_refused(tmp_path, change):
    folder = part(tmp_path / "one", "1/2")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["binaries"][0].update({"seconds": 7.0, "started": ""})  # as the next build may do
    (folder / "manifest.json").write_text(json.dumps(manifest))
    read = result.read(folder)
    assert list(binaries._recorded(read)) == [
        ("amd64-musl/a", read.entries["amd64-musl/a"]["sha256"], entry_digest(read.entries["amd64-musl/a"])),
    ]  # fmt: skip
    manifest["binaries"][0].update(change)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Refused) as caught:
        binaries.verified(None, [result.read(folder)], tmp_path / "scratch")
    assert caught.value.message == f"the gate refused\n  {folder} (1/2): 'amd64-musl/a': modified in manifest.json"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "not a record of --shard"),
        (b"[1]", "not a record of --shard"),
        (b"\xff\xfe", "not a record of --shard"),
        (b"[" * 100_000, "not a record of --shard"),
        (json.dumps({"schema": 1, "shard": "1/2"}).encode(), "not a record of --shard"),
    ],
    ids=["empty", "list", "not UTF-8", "nested", "keys"],
)
def test_a_record_that_is_not_one_is_an_error(tmp_path, text, what):
    folder = part(tmp_path / "one", "1/2")
    (folder / "shard" / "shard.json").write_bytes(text)
    with pytest.raises(BuildError) as caught:
        result.read(folder)
    assert (caught.value.message, caught.value.code) == (f"{folder}/shard/shard.json: {what}", 1)


@pytest.mark.parametrize(
    ("change", "what"),
    [({"schema": 2}, "schema 2, expected 1"), ({"shard": "3/2"}, "shard '3/2'"), ({"shard": "0/0"}, "shard '0/0'")],
    ids=str,
)
def test_a_record_of_another_schema_or_of_no_part(tmp_path, change, what):
    folder = part(tmp_path / "one", "1/2", **change)
    with pytest.raises(BuildError) as caught:
        result.read(folder)
    assert caught.value.message == f"{folder}/shard/shard.json: {what}"


LINES = ["a b\nc", "x\x1b[31m", "", " ", "a@b c"]


@pytest.mark.parametrize(
    "change",
    [
        *({"commit": text} for text in LINES if text), *({"buildlib": text} for text in LINES),
        *({"arches": [text]} for text in LINES), *({"parts": [[text]]} for text in LINES), {"arches": ["x"] * 1000},
        *({"commands": {"image": {"settings": {}, "images": {"a": {
            "repository": "r.test/a", "digests": [], "platforms": {}, "inputs": {}, "bases": {text: f"sha256:{'0' * 64}"},
        }}}}} for text in LINES),
        *({"commands": {"build": {"settings": {}, "files": {"a": text}}}} for text in LINES),
    ],
    ids=repr,
)  # fmt: skip
def test_texts_that_could_add_a_line_or_a_word_are_refused(tmp_path, change):
    """They are printed, and become part of annotations, which have spaces between their words."""
    folder = part(tmp_path / "one", "1/2", **change)
    with pytest.raises(BuildError) as caught:
        result.read(folder)
    assert caught.value.message == f"{folder}/shard/shard.json: not a record of --shard"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_a_record_or_none(value):
    assert record.read(json.dumps(value)) is None


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a//b", ".", "a/./b", "a\0b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(Refused) as caught, result.opened(tmp_path, name, 10):
        pass
    assert caught.value.message == f"{tmp_path}: {name!r} is not the name of a file in it"


def test_links_are_not_followed(tmp_path):
    secret = write(tmp_path / "secret" / "file", b"x")
    folder = tmp_path / "part"
    write(folder / "real" / "file", b"x")
    (folder / "link").symlink_to(secret)
    (folder / "folder").symlink_to(secret.parent)
    (folder / "real" / "loop").symlink_to("loop")
    for name in ("link", "folder/file", "real/loop"):
        with pytest.raises(Refused) as caught, result.opened(folder, name, 10):
            pass
        assert caught.value.message == f"{folder / name}: a link, expected a file"
    with result.opened(folder, "real/file", 10) as stream:
        assert stream.read() == b"x"


def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(Refused) as caught, result.opened(tmp_path, name, 10):
            pass
        assert caught.value.message == f"{tmp_path / name}: not a regular file"


def test_large_files_are_refused_before_they_are_read(tmp_path):
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: it needs no space
    with pytest.raises(Refused) as caught:
        result.text_of(tmp_path, "large")
    assert caught.value.message == f"{tmp_path / 'large'}: {1 << 40} bytes, expected at most {64 << 20}"
    with pytest.raises(Refused):
        result.copy(tmp_path, "large", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_an_absent_file_is_told_from_a_wrong_one(tmp_path):
    assert result.text_of(tmp_path, "shard/shard.json") is None
    write(tmp_path / "shard", b"")
    with pytest.raises(BuildError) as caught:
        result.text_of(tmp_path, "shard/shard.json")
    assert caught.value.message == f"{tmp_path}/shard/shard.json: Not a directory"
    assert not isinstance(caught.value, Refused)


def test_a_copy_has_the_digest_of_what_was_copied(tmp_path):
    write(tmp_path / "a" / "b", b"abc")
    copied = result.copy(tmp_path, "a/b", tmp_path / "to" / "c")
    assert copied == (3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    assert (tmp_path / "to" / "c").read_bytes() == b"abc"
