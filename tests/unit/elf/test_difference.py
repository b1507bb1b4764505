"""Where two files differ first."""

import re
from pathlib import Path

import msgspec._core
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.elf.difference import Difference, first, readable

LIBRARY = Path(msgspec._core.__file__)


@pytest.fixture(scope="module")
def library():
    """A real library: its bytes, its sections by name, and the address of the one function that it exports."""
    with LIBRARY.open("rb") as file:
        elf = ELFFile(file)
        sections = {
            section.name: (section["sh_addr"], section["sh_offset"], section.data()) for section in elf.iter_sections()
        }
        (function,) = elf.get_section_by_name(".dynsym").get_symbol_by_name("PyInit__core")
        return LIBRARY.read_bytes(), sections, function["st_value"]


def changed(folder, data, offset, new):
    (folder / "b").write_bytes(data[:offset] + new + data[offset + len(new) :])
    return first(LIBRARY, folder / "b")


def test_the_same_bytes_do_not_differ(library, tmp_path):
    assert changed(tmp_path, library[0], 0, b"") is None


def test_a_text_is_shown_from_both_files(library, tmp_path):
    data, sections, _ = library
    _, start, content = sections[".rodata"]
    text = re.search(rb"(?<=\0)[a-z_ ]{12,60}(?=\0)", content)
    found = changed(tmp_path, data, start + text.start(), b"BUILT")
    one = text[0].decode()
    assert found == Difference(section=".rodata", offset=text.start(), first=one, second=f"BUILT{one[5:]}")
    assert str(found) == f".rodata, byte {text.start()}: {one!r} and {found.second!r}"


def test_code_is_named_by_its_symbol(library, tmp_path):
    data, sections, address = library
    start, offset, _ = sections[".text"]
    found = changed(tmp_path, data, offset + address - start + 4, b"\xcc\xcc\xcc")
    assert (found.section, found.symbol) == (".text", "PyInit__core")


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (b"!<arch>\nhello", b"!<arch>\nhells", "byte 12: 'hello' and 'hells'"),
        (b"", b"text", "byte 0: '' and 'text'"),
        (b"\x7fELF\0\1", b"\x7fELF\0\2", "byte 5"),
    ],
)
def test_other_files_differ_at_a_byte(tmp_path, one, other, difference):
    (tmp_path / "a").write_bytes(one)
    (tmp_path / "b").write_bytes(other)
    assert str(first(tmp_path / "a", tmp_path / "b")) == difference


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    offset=st.one_of(st.integers(0, 2000), st.integers(0, LIBRARY.stat().st_size - 8)),
    new=st.binary(min_size=1, max_size=8),
)
def test_a_damaged_library_differs_somewhere(library, tmp_path, offset, new):
    found = changed(tmp_path, library[0], offset, new)
    same = library[0][offset : offset + len(new)] == new
    assert found is None if same else isinstance(found, Difference)


def test_symbols_of_rust_are_paths():
    assert readable("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE") == "core::fmt::Write::write_fmt"
    assert readable("_RNvCs1234_7mycrate3foo") == "_RNvCs1234_7mycrate3foo"
    assert readable("main") == "main" and readable("_ZN9") == "_ZN9"
    assert readable("_ZN9999x") == "x"
