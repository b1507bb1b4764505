"""Headers and Arm attributes of objects, written byte by byte."""

import contextlib
import io
import struct

import pytest
from elf_files import arm_attributes, arm_object, header
from hypothesis import given
from hypothesis import strategies as st

from buildlib.elf import object_file
from buildlib.elf.object_file import HARD_FLOAT, SOFT_FLOAT, Object, Span


def read(data):
    return object_file.read(Span(io.BytesIO(data), 0, len(data)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (header(183), Object(machine=183, bits=64, little=True, flags=0, kind="ET_REL", arm=0)),
        (header(22, little=False), Object(machine=22, bits=64, little=False, flags=0, kind="ET_REL", arm=0)),
        (header(243, flags=5), Object(machine=243, bits=64, little=True, flags=5, kind="ET_REL", arm=0)),
        (header(3, bits=32, kind=3), Object(machine=3, bits=32, little=True, flags=0, kind="ET_DYN", arm=0)),
        (header(40, bits=32), Object(machine=40, bits=32, little=True, flags=0, kind="ET_REL", arm=0)),
        (header(62, kind=0xFE00), Object(machine=62, bits=64, little=True, flags=0, kind="65024", arm=0)),
    ],
    ids=["arm64", "s390x", "riscv64", "386", "arm without sections", "unknown type"],
)
def test_the_header_says_what_a_file_is_compiled_for(data, expected):
    assert read(data) == expected


@pytest.mark.parametrize(
    ("tags", "flags", "arm"),
    [
        ({6: 10, 23: 3, 28: 1}, HARD_FLOAT, 10),  # as rustc writes them
        ({6: 10}, 0, 10),  # no floating point numbers: it fits both
        ({}, 0, 0),
        ({6: 9, 23: 3}, SOFT_FLOAT, 9),  # floating point numbers in integer registers
        ({6: 10, 23: 3, 28: 3}, 0, 10),  # compatible with both
        ({67: "2.09", 6: 10, 5: "cortex-a7", 32: (1, "gnu"), 65: "x", 28: 1, 200: 1 << 40}, HARD_FLOAT, 10),
    ],
)
def test_attributes_of_an_arm_object(tags, flags, arm):
    compiled = read(arm_object(arm_attributes(tags)))
    assert (compiled.flags, compiled.arm) == (0x5000000 | flags, arm)


def test_attributes_of_other_vendors_and_of_single_sections_do_not_count():
    other = arm_attributes({6: 14}, vendor=b"acme")
    of_a_section = arm_attributes({6: 14}, scope=2)
    assert read(arm_object(other + of_a_section[1:] + arm_attributes({6: 9})[1:])).arm == 9
    assert read(arm_object(b"B" + arm_attributes({6: 9})[1:])).arm == 0  # another version of the format


def test_the_flags_of_a_linked_arm_file_are_its_own():
    """Only objects leave out the bits of the float ABI."""
    assert read(arm_object(arm_attributes({6: 10, 23: 3, 28: 1}), kind=3, flags=0x5000200)).flags == 0x5000200


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x7fELF", header(183)[:40], b"\x7fELF\x03\x01" + header(183)[6:], b"\x7fELF\x02\x03" + header(183)[6:],
        b"\x7fELG" + header(183)[4:],
        arm_object(arm_attributes({6: 10}))[:-30],  # the attributes are cut off
        arm_object(arm_attributes({6: 10}), entry_size=0), arm_object(arm_attributes({6: 10}), count=500),
        arm_object(b"A" + struct.pack("<I", 0)), arm_object(b"A" + struct.pack("<I", 1 << 31)),
        arm_object(b"A" + struct.pack("<I", 15) + b"aeabi\0" + b"\x01" + struct.pack("<I", 0)),
        arm_object(b"A" + struct.pack("<I", 27) + b"aeabi\0" + b"\x01" + struct.pack("<I", 17) + b"\xff" * 12),
        arm_object(b"A" + struct.pack("<I", 19) + b"aeabi\0" + b"\x01" + struct.pack("<I", 9) + b"\x05abc"),
        arm_object(bytes(1 << 17)),
    ],
    ids=repr,
)  # fmt: skip
def test_a_broken_file_is_a_value_error(data):
    with pytest.raises(ValueError, match=r"\w"):
        read(data)


def test_two_groups_of_attributes_of_one_length_come_to_an_end():
    """pyelftools (0.33) reads the second one for ever."""
    group = b"\x01" + struct.pack("<I", 7) + b"\x08\x01"
    data = b"A" + struct.pack("<I", 10 + 2 * len(group)) + b"aeabi\0" + 2 * group
    assert read(arm_object(data)).arm == 0


def test_more_sections_than_the_header_can_count_are_in_the_first_section():
    many = arm_object(arm_attributes({6: 10}), count=0, first_size=3)
    assert read(many).arm == 10
    with pytest.raises(ValueError, match="not inside"):
        read(arm_object(arm_attributes({6: 10}), count=0, first_size=1 << 31))


def test_nothing_outside_of_a_span_is_read():
    span = Span(io.BytesIO(b"0123456789"), 2, 5)
    assert (span.read(1, 3), span.part(4, 1).read(0, 1)) == (b"345", b"6")
    for offset, count in ((-1, 1), (0, 6), (5, 1), (1, -1), (1 << 70, 1)):
        with pytest.raises(ValueError, match="not inside"):
            span.read(offset, count)
    with pytest.raises(ValueError, match="ends after 10 bytes"):
        Span(io.BytesIO(b"0123456789"), 2, 50).read(0, 40)  # the file has become shorter


@given(st.data())
def test_a_changed_byte_is_read_or_a_value_error(data):
    content = bytearray(arm_object(arm_attributes({67: "2.09", 6: 10, 23: 3, 28: 1})))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        assert isinstance(read(bytes(content)), Object)
