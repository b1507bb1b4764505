"""What a file says to its loader."""

import contextlib
import io
import struct

import pytest
from gate_images import elf
from hypothesis import given
from hypothesis import strategies as st

from buildlib.elf import dynamic
from buildlib.elf.dynamic import Dynamic
from buildlib.elf.object_file import Span


def read(data):
    file = Span(io.BytesIO(data), 0, len(data))
    return dynamic.read(file, dynamic.segments(file))


@pytest.mark.parametrize("arch", ["arm64", "arm", "s390x", "386"])
def test_loader_and_libraries(arch):
    file = elf(arch, "liba.so.1", "libc.so.6", loader="/lib/ld.so", rpath="/r", runpath="$ORIGIN:/x", soname="libs.so")
    assert read(file) == Dynamic("/lib/ld.so", ("liba.so.1", "libc.so.6"), "/r", "$ORIGIN:/x", "libs.so")


def test_a_static_program_and_a_static_one_with_a_loader():
    assert (read(elf("arm64")), read(elf("arm64", loader="/l"))) == (Dynamic(), Dynamic(loader="/l"))


@pytest.mark.parametrize(
    ("place", "data"),
    [
        (32, struct.pack("<Q", 1 << 40)),  # e_phoff
        (54, struct.pack("<H", 8)),  # e_phentsize
        (56, struct.pack("<H", 0xFFFF)),  # e_phnum
        (64 + 56 + 8, struct.pack("<Q", 1 << 40)),  # the offset of PT_DYNAMIC
        (64 + 56 + 32, struct.pack("<Q", 1 << 40)),  # its size
        (64 + 16, struct.pack("<Q", 1 << 40)),  # the address of PT_LOAD: that of the strings is in no segment
    ],
)
def test_a_broken_file_is_an_error(place, data):
    file = bytearray(elf("arm64", "libx.so"))
    file[place : place + len(data)] = data
    with pytest.raises(ValueError):
        read(bytes(file))


@given(st.lists(st.tuples(st.integers(0, 280), st.integers(0, 255)), max_size=8), st.integers(0, 400))
def test_any_file(changes, length):
    data = bytearray(elf("arm", "liba.so", loader="/l", runpath="/x"))
    for place, byte in changes:
        data[min(place, len(data) - 1)] = byte
    for cut in (bytes(data), bytes(data[:length])):
        with contextlib.suppress(ValueError, struct.error, OverflowError):
            assert isinstance(read(cut), Dynamic)
