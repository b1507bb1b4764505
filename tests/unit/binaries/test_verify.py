"""`verify` on dist/, with a real program of this machine."""

import json
import os
from dataclasses import replace

import pytest
from elf_files import archive, header, linked, member
from machines import artifact

from buildlib.binaries import build
from buildlib.binaries.start import NOT_STARTED
from buildlib.binaries.verify import verify
from buildlib.core.errors import BuildError, NothingToDo
from buildlib.elf import digest


@pytest.fixture
def published(compiled, tmp_path):
    """A context whose dist/ has one binary, and the path of that binary."""
    context, plan, outcome = compiled()
    build._accept(context, plan, outcome)
    return compiled()[0], tmp_path / "dist" / plan.target.name / "app"


def test_every_file_of_dist_is_compared_with_the_manifest(published, native, program):
    context, binary = published
    (still,) = verify(context, [context.dist])
    assert (still.refusals, still.started) == ((), NOT_STARTED)  # nothing is started unless that is asked for
    (good,) = verify(context, [context.dist], run=True)
    assert (good.path, good.target, good.refusals, good.started.flag) == (binary, native, (), "--version")
    sha256 = digest(binary)
    binary.write_bytes(binary.read_bytes() + b"\0")
    (changed,) = verify(context, [context.dist])
    assert (changed.refusals, changed.started) == ((f"sha256: {digest(binary)}, expected {sha256}",), NOT_STARTED)
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


def library(arch_machine, *tags):
    """A shared library without code."""
    data = bytearray(linked((1, "libc.so.6"), *tags))
    data[18:20] = arch_machine.to_bytes(2, "little")
    return bytes(data)


@pytest.fixture
def libraries(compiled, tmp_path, native):
    """A context whose dist/ has a library of each kind, and the directory of the arch."""
    (tmp_path / "out" / "libk.so").write_bytes(library(native.elf.machine, (14, "libk.so.1")))
    (tmp_path / "out" / "libk.a").write_bytes(archive(member("k.o/", header(native.elf.machine))))
    context, plan, outcome = compiled(selected={"components": (), "libraries": ("libk.so", "libk.a")})
    made = (artifact(tmp_path / "out" / "libk.so", "cdylib"), artifact(tmp_path / "out" / "libk.a", "staticlib"))
    build._accept(context, plan, replace(outcome, artifacts=made))
    return compiled()[0], tmp_path / "dist" / native.name


def test_libraries_of_the_manifest_are_verified_by_their_kind_and_not_started(libraries, native):
    context, folder = libraries
    assert [(verdict.path, verdict.target, verdict.kind, verdict.refusals) for verdict in verify(context, [context.dist])] == [
        (folder / "libk.a", native, "staticlib", ()), (folder / "libk.so", native, "cdylib", ()),
    ]  # fmt: skip
    assert context.run.asked == []


def test_a_library_that_the_manifest_lists_as_a_program_is_refused(libraries):
    context, _ = libraries
    manifest = context.dist / "manifest.json"
    manifest.write_text(
        manifest.read_text().replace('"kind": "cdylib"', '"kind": "bin"').replace('"staticlib"', '"cdylib"')
    )
    assert [verdict.refusals for verdict in verify(context, [context.dist])] == [
        ("type: an archive, expected a shared library",), ("type: a shared library, expected an executable",),
    ]  # fmt: skip
    assert context.run.asked == []


def test_libraries_that_the_manifest_does_not_list_are_found(libraries, native, tmp_path):
    context, folder = libraries
    (context.dist / "manifest.json").unlink()
    (folder / "libk.so").rename(folder / "libk.so.1.2")
    foreign = tmp_path / "dist" / "riscv64"
    foreign.mkdir()
    (foreign / "libk.a").write_bytes((folder / "libk.a").read_bytes())
    (foreign / "thin").write_bytes(b"!<thin>\n")
    machine = f"{native.elf.machine} ({native.name})"
    found = [(verdict.path, verdict.kind, verdict.refusals) for verdict in verify(context, [context.dist])]
    assert found == sorted([
        (folder / "libk.a", "staticlib", ()),
        (folder / "libk.so.1.2", "cdylib", ()),
        (foreign / "libk.a", "staticlib", (f"machine of k.o: {machine}, expected 243 (riscv64)",)),
        (foreign / "thin", "bin", ("a thin archive, which contains no files but their names",)),
    ])  # fmt: skip
    assert context.run.asked == []


@pytest.mark.parametrize("name", ["libk.so", "libk.a"])
def test_a_single_library_is_verified_for_the_machine_that_it_is_for(libraries, native, tmp_path, name):
    context, folder = libraries
    path = (folder / name).rename(tmp_path / name)
    (verdict,) = verify(context, [path])
    assert (verdict.target, verdict.refusals, verdict.started, context.run.asked) == (native, (), NOT_STARTED, [])


def test_links_to_nothing_fifos_and_sockets_are_passed_over(published):
    context, binary = published
    (binary.parent / "dangling").symlink_to("absent")
    (binary.parent / "loop").symlink_to("loop")
    (binary.parent / "folder").symlink_to("..")
    os.mkfifo(binary.parent / "fifo")
    assert [(verdict.path, verdict.refusals) for verdict in verify(context, [context.dist])] == [(binary, ())]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("absent")], ids=["fifo", "dangling link"])
def test_what_is_no_file_in_the_place_of_a_binary_is_missing(published, make):
    context, binary = published
    binary.unlink()
    make(binary)
    (verdict,) = verify(context, [context.dist])
    assert verdict.refusals == ("file: missing, expected by manifest.json",)


def test_a_fifo_in_the_place_of_the_manifest_is_one_error(published):
    context, _ = published
    (context.dist / "manifest.json").unlink()
    os.mkfifo(context.dist / "manifest.json")
    assert one_line(context, [context.dist]) == f"{context.dist}/manifest.json: not a regular file"


def test_an_empty_directory_has_nothing_to_verify(compiled, tmp_path):
    (tmp_path / "dist").mkdir()
    with pytest.raises(NothingToDo):
        verify(compiled()[0], [tmp_path / "dist"])


def test_a_path_that_does_not_exist_is_an_error(compiled, tmp_path):
    with pytest.raises(BuildError) as caught:
        verify(compiled()[0], [tmp_path / "dist"])
    assert (caught.value.message, caught.value.code) == (f"{tmp_path}/dist: no such file or directory", 2)


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
