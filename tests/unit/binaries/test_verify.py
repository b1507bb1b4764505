"""`verify` on dist/, with a real program of this machine."""

import json
import os

import pytest

from buildlib.binaries import build
from buildlib.binaries.elf import digest
from buildlib.binaries.verify import verify
from buildlib.core.errors import BuildError, NothingToDo


@pytest.fixture
def published(compiled, tmp_path):
    """A context whose dist/ has one binary, and the path of that binary."""
    context, plan, outcome = compiled()
    build._accept(context, plan, outcome)
    return compiled()[0], tmp_path / "dist" / plan.target.name / "app"


def test_every_file_of_dist_is_compared_with_the_manifest(published, native, program):
    context, binary = published
    (good,) = verify(context, [context.dist])
    assert (good.path, good.target, good.refusals, good.started) == (binary, native, (), "--version")
    sha256 = digest(binary)
    binary.write_bytes(binary.read_bytes() + b"\0")
    (changed,) = verify(context, [context.dist])
    assert (changed.refusals, changed.started) == ((f"sha256: {digest(binary)}, expected {sha256}",), "")
    binary.unlink()
    (missing,) = verify(context, [context.dist])
    assert (missing.refusals, missing.facts) == (("file: missing, expected by manifest.json",), None)


def test_binaries_that_the_manifest_does_not_list_are_verified_too(published):
    context, binary = published
    other = binary.with_name("other")
    other.write_bytes(binary.read_bytes())
    (context.dist / "notes.txt").write_text("no binary")
    assert [(verdict.path, verdict.refusals) for verdict in verify(context, [context.dist])] == [
        (binary, ()),
        (other, ()),
    ]


def test_a_file_that_is_not_a_binary_is_refused(published, tmp_path):
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (verdict,) = verify(published[0], [tmp_path / "script"])
    assert verdict.refusals == ("not an ELF file",)


def test_an_empty_directory_has_nothing_to_verify(compiled, tmp_path):
    (tmp_path / "dist").mkdir()
    with pytest.raises(NothingToDo):
        verify(compiled()[0], [tmp_path / "dist"])


def test_a_path_that_does_not_exist_is_an_error(compiled, tmp_path):
    with pytest.raises(BuildError) as caught:
        verify(compiled()[0], [tmp_path / "dist"])
    assert (caught.value.message, caught.value.code) == (f"{tmp_path}/dist: no such file or directory", 1)


def test_a_fifo_is_neither_file_nor_directory(compiled, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BuildError, match="fifo: neither a file nor a directory"):
        verify(compiled()[0], [tmp_path / "fifo"])


def test_a_large_file_that_is_no_binary_is_not_read(compiled, tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    (verdict,) = verify(compiled()[0], [tmp_path / "sparse"])
    assert verdict.refusals == ("not an ELF file",)


# --- a dist/ that cannot be used --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: b"\xff\xfe",
        lambda manifest: b"[" * 100_000,
        lambda manifest: json.dumps([manifest]).encode(),
        lambda manifest: json.dumps(manifest | {"binaries": manifest["binaries"][0]}).encode(),
        lambda manifest: json.dumps(
            manifest | {"binaries": [manifest["binaries"][0] | {"floor": "9" * 5000}]}
        ).encode(),
        lambda manifest: json.dumps(manifest | {"binaries": [{"path": manifest["binaries"][0]["path"]}]}).encode(),
    ],
    ids=["not UTF-8", "deep", "a list", "no list", "a number as version", "missing keys"],
)
def test_a_broken_manifest_is_no_error_and_the_binaries_are_verified_all_the_same(published, change):
    context, binary = published
    manifest = context.dist / "manifest.json"
    manifest.write_bytes(change(json.loads(manifest.read_text())))
    (verdict,) = verify(context, [context.dist])
    assert (verdict.path, verdict.refusals) == (binary, ())


def test_an_entry_cannot_name_a_file_outside_of_dist(published, tmp_path):
    context, binary = published
    manifest = context.dist / "manifest.json"
    data = json.loads(manifest.read_text())
    outside = {**data["binaries"][0], "arch": "..", "binary": "secret", "path": "../secret"}
    manifest.write_text(json.dumps(data | {"binaries": [*data["binaries"], outside]}))
    assert [verdict.path for verdict in verify(context, [context.dist])] == [binary]


def one_line(context, paths):
    with pytest.raises(BuildError) as caught:
        verify(context, paths)
    assert caught.value.code == 1
    return caught.value.message


def test_dist_that_is_a_file_is_one_error(compiled, tmp_path):
    (tmp_path / "dist").write_text("")
    context, *_ = compiled()
    assert one_line(context, [context.dist]) == f"{tmp_path}/dist: a file, expected a directory"


def test_a_directory_in_the_place_of_a_binary_is_one_error(published):
    context, binary = published
    binary.unlink()
    binary.mkdir()
    assert one_line(context, [context.dist]) == f"{binary}: Is a directory"


def test_a_directory_in_the_place_of_the_manifest_is_one_error(published):
    context, _ = published
    (context.dist / "manifest.json").unlink()
    (context.dist / "manifest.json").mkdir()
    assert one_line(context, [context.dist]) == f"{context.dist}/manifest.json: Is a directory"
