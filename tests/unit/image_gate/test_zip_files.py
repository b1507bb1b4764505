"""ELF files in zip files: nested, damaged, encrypted, and zip bombs, all in bounded memory and time."""

import io
import struct
import zipfile

import pytest
from elf_files import arm_attributes
from gate_images import archive, elf
from hypothesis import given
from hypothesis import strategies as st

from buildlib.elf.object_file import Span
from buildlib.image_gate import zip_files
from buildlib.image_gate.contents import Archives
from buildlib.image_gate.zip_files import Budget, members

LIB = elf("arm64")
MIB = 1 << 20


def paths(data, budget=None):
    """Path and e_machine of each ELF file."""
    found = members(Span(io.BytesIO(data), 0, len(data)), budget or Budget(64 * MIB))
    return [(member.path, member.elf.object.machine) for member in found]


def patched(data, flag=0, method=None):
    """A zip file whose entries have a flag or a method of compression, in both headers."""
    data = bytearray(data)
    for magic, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = data.find(magic)
        while start >= 0:
            data[start + place] |= flag
            if method is not None:
                data[start + place + 2] = method
            start = data.find(magic, start + 1)
    return bytes(data)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_elf_files_at_any_depth(compression):
    inner = archive({"b/c.so": LIB, "d.txt": b"text" * 20}, compression)
    data = archive({"a.so": elf("amd64"), "x.jar": archive({"y.JAR": inner, "E.class": LIB}, compression)}, compression)
    assert paths(data) == [("a.so", 62), ("x.jar!/y.JAR!/b/c.so", 183)]


def test_a_fourth_level_is_not_read():
    three = archive({"a.zip": archive({"b.zip": archive({"c": LIB})})})
    assert (paths(three), paths(archive({"x.zip": three}))) == ([("a.zip!/b.zip!/c", 183)], [])


def test_a_script_in_front():
    assert paths(b"#!/bin/sh\nexec java -jar $0\n" + archive({"a.so": LIB})) == [("a.so", 183)]


def test_encrypted_files_and_other_compressions_are_passed_over():
    assert paths(patched(archive({"a.so": LIB}), flag=1)) == []
    for method in (1, 12, 14, 93, 99):
        assert paths(patched(archive({"a.so": LIB}), method=method)) == []


def test_a_damaged_file_hides_no_other():
    data = bytearray(archive({"a.so": LIB, "b.so": LIB}))
    data[0:4] = b"xxxx"  # the header of the first one
    assert paths(bytes(data)) == [("b.so", 183)]


@pytest.mark.parametrize(
    "data", [b"", b"PK\3\4", b"PK\3\4" + bytes(300), archive({"a": LIB})[:-30], b"PK\5\6" + b"\xff" * 18, b"text" * 100]
)
def test_what_is_no_zip_file_has_nothing(data):
    assert paths(data) == []


def test_a_directory_that_is_too_large_is_not_read(monkeypatch):
    monkeypatch.setattr(zip_files, "MAX_DIRECTORY", 100)
    assert paths(archive({"a.so": LIB})) == [("a.so", 183)]
    assert paths(archive({f"{number}.so": LIB for number in range(9)})) == []


def test_the_size_of_a_zip64_directory_counts():
    """As zipfile does it: the record in front of the locator replaces what the end says."""
    data = archive({"a.so": LIB})
    end = data[-22:]
    size, offset = struct.unpack("<2I", end[12:20])
    place = len(data) - 22

    def with_size(stated):
        record = b"PK\6\6" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, 1, 1, stated, offset)
        return data[:-22] + record + b"PK\6\7" + struct.pack("<IQI", 0, place, 1) + end

    assert paths(with_size(size)) == [("a.so", 183)]
    assert paths(with_size(1 << 40)) == []


def test_a_zip_bomb_is_left_out(monkeypatch):
    monkeypatch.setattr(zip_files, "FREE", MIB)
    bomb = archive({"x.zip": archive({"zeros": bytes(40 * MIB)}, 0), "y.so": LIB})
    archives = Archives(1 << 30)
    assert list(archives.members(Span(io.BytesIO(bomb), 0, len(bomb)))) == []
    assert (1 << 30) - archives.left <= 3 * MIB  # what was decompressed
    data = archive({"a.so": LIB})
    assert [m.path for m in archives.members(Span(io.BytesIO(data), 0, len(data)))] == ["a.so"]


def test_all_zip_files_of_a_layer_have_one_limit():
    archives = Archives(100)
    data = archive({"a.so": LIB})
    assert list(archives.members(Span(io.BytesIO(data), 0, len(data)))) == []


def test_a_large_file_is_not_decompressed():
    """Of 200 MiB only the headers."""
    budget = Budget(MIB)
    assert paths(archive({"a.so": LIB + bytes(200 * MIB)}), budget) == [("a.so", 183)]
    assert budget.left > MIB - 100_000


def test_attributes_of_arm_are_at_the_end():
    library = elf("arm", attributes=arm_attributes({6: 14}), text=bytes(300_000))
    (member,) = members(Span(io.BytesIO(data := archive({"a.so": library})), 0, len(data)), Budget(64 * MIB))
    assert (member.elf.object.arm, member.elf.asks_cpu) == (14, False)


def test_the_number_of_elf_files_is_limited(monkeypatch):
    monkeypatch.setattr(zip_files, "MAX_MEMBERS", 3)
    assert len(paths(archive({f"{number}": LIB for number in range(9)}))) == 3


DATA = archive(
    {"a.so": LIB, "b.jar": archive({"c.so": elf("arm", attributes=arm_attributes({6: 10}))}), "d": b"text" * 99}
)


@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(DATA)))
def test_any_zip_file(changes, length):
    data = bytearray(DATA)
    for place, byte in changes:
        data[place] = byte
    for cut in (bytes(data), bytes(data[:length])):
        assert all(isinstance(path, str) for path, _ in paths(cut))
