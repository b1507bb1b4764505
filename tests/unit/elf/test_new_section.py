"""A section that is added to a file: the file stays what it was, and readers find the section."""

import io
import struct
import sys
from pathlib import Path

import pytest
from elf_files import arm_object, header
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from buildlib.elf.new_section import with_section
from buildlib.elf.object_file import Span

NAME, CONTENT = ".dep-v0", b"the list"
FORMS = [(bits, little) for bits in (32, 64) for little in (True, False)]


def small(bits=64, little=True, names=b"\0.shstrtab\0", flags=0, index=1):
    """A file of two sections: the empty one, and that of the names."""
    start = 64 if bits == 64 else 52
    form = ("<" if little else ">") + ("IIQQQQIIQQ" if bits == 64 else "10I")
    rows = [(0,) * 10, (1, 3, flags, 0, start, len(names), 0, 0, 1, 0)]
    head = bytearray(header(62, bits=bits, little=little, kind=3, sections=start + len(names),
                            entry_size=struct.calcsize(form), count=len(rows)))  # fmt: skip
    head[start - 2 : start] = index.to_bytes(2, "little" if little else "big")
    return bytes(head) + names + b"".join(struct.pack(form, *row) for row in rows)


def extended(data, content=CONTENT):
    """The file with the section, None if it has one."""
    found = with_section(Span(io.BytesIO(data), 0, len(data)), NAME, content)
    return None if found is None else found.head + data[len(found.head) :] + found.tail


def sections(data):
    """Name, header and content of all sections but that of their names, as a library reads them."""
    elf = ELFFile(io.BytesIO(data))
    every = [(section.name, dict(section.header), section.data()) for section in elf.iter_sections()]
    del every[elf["e_shstrndx"]]
    # The places of names are not the same for all linkers, and may change.
    return [(name, {**values, "sh_name": 0}, content) for name, values, content in every]


NEW = {"sh_type": "SHT_PROGBITS", "sh_flags": 0, "sh_addr": 0, "sh_size": len(CONTENT), "sh_link": 0, "sh_info": 0,
       "sh_addralign": 1, "sh_entsize": 0}  # fmt: skip


def assert_extended(old, new):
    *others, (name, values, content) = sections(new)
    assert others == sections(old)
    assert (name, content) == (NAME, CONTENT) and values == {**NEW, "sh_offset": len(old), "sh_name": 0}
    size = 64 if old[4] == 2 else 52
    assert new[size : len(old)] == old[size:]
    before, after = ELFFile(io.BytesIO(old)), ELFFile(io.BytesIO(new))
    changed = {key for key, value in before.header.items() if after.header[key] != value}
    assert changed <= {"e_shoff", "e_shnum", "e_shentsize", "e_shstrndx"}
    assert after["e_shoff"] % (8 if size == 64 else 4) == 0


@pytest.mark.parametrize(("bits", "little"), FORMS)
def test_every_class_and_byte_order(bits, little):
    old = small(bits, little)
    assert_extended(old, extended(old))


def test_a_real_program():
    old = Path(sys.executable).resolve().read_bytes()
    assert_extended(old, extended(old))


@pytest.mark.parametrize(("bits", "little"), FORMS)
def test_a_file_without_sections_gets_two_more(bits, little):
    new = extended(header(62, bits=bits, little=little, kind=3))
    assert [name for name, *_ in sections(new)] == ["", NAME]
    assert ELFFile(io.BytesIO(new)).get_section_by_name(NAME).data() == CONTENT


def test_a_file_that_has_the_section_is_left_alone():
    assert extended(extended(small())) is None
    assert extended(small(names=b"\0.shstrtab\0.dep-v0\0")) is not None  # a name that no section has


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"#!/bin/sh\nexec true\n", "no ELF header"),
        (b"\x7fELF", "not inside"),
        (small()[:-1], "not inside"),
        (small(index=0), "2 section headers of 64 bytes"),
        (small(index=2), "2 section headers of 64 bytes"),
        (small(flags=2), "cannot be extended"),
        (small(names=b"\0.shstrtab"), "cannot be extended"),
        (header(62, sections=64, entry_size=64, count=0), "0 section headers of 64 bytes"),  # more than 65,279 of them
        (header(62, sections=64, entry_size=64, count=0xFEFF), "65279 section headers of 64 bytes"),
    ],
)
def test_what_cannot_be_extended_is_an_error(data, message):
    with pytest.raises(ValueError, match=message):
        extended(data)


@given(st.data())
def test_a_broken_file_is_an_error_and_nothing_else(data):
    whole = bytearray(data.draw(st.sampled_from([*(small(*form) for form in FORMS), arm_object(b"A" * 20)])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        new = extended(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except ValueError:
        return
    assert new is None or CONTENT in new


@given(st.binary(max_size=300))
def test_any_content_can_be_read_back(content):
    assert ELFFile(io.BytesIO(extended(small(), content))).get_section_by_name(NAME).data() == content
