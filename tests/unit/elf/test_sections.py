import struct
import sys
from pathlib import Path

from elf_files import arm_attributes, arm_object
from hypothesis import given
from hypothesis import strategies as st

from buildlib.elf import sections


def many_sections(count, name=b".s", size=3):
    """A file of `count` sections with the same name, each of `size` bytes."""
    names = b"\0" + name + b"\0"
    start = 64 + len(names)
    headers = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 64, len(names), 0, 0, 1, 0)
    headers += b"".join(struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 64, size, 0, 0, 1, 0) for _ in range(count))
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, start, 0, 64, 0, 0, 64, count + 1, 0) + names + headers


def test_the_largest_sections_of_a_program_and_the_rest():
    """The interpreter that runs the tests: its sections are those that `readelf -S` lists."""
    program = Path(sys.executable).resolve()
    found = sections.sizes(program)
    assert sum(found.values()) == program.stat().st_size
    assert 1 < len(found) <= sections.KEPT + 1
    assert list(found)[-1] == "other" and ".bss" not in found
    kept = [size for name, size in found.items() if name != "other"]
    assert kept == sorted(kept, reverse=True)


def test_sections_with_one_name_are_one(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(many_sections(4))
    assert sections.sizes(file) == {".s": 12, "": 4, "other": file.stat().st_size - 16}


def test_names_and_their_number_are_bounded(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(many_sections(3000, name=b"x" * 5000))
    assert sections.sizes(file)["x" * 40] == 3 * (sections.MOST - 1)


def test_what_has_no_sections_has_no_sizes(tmp_path):
    archive, broken = tmp_path / "archive", tmp_path / "broken"
    archive.write_bytes(b"!<arch>\n")
    broken.write_bytes(b"\x7fELF")
    assert [sections.sizes(file) for file in (archive, broken, tmp_path / "absent")] == [{}, {}, {}]


@given(st.data())
def test_whatever_the_file_contains_sizes_are_numbers(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("elf") / "file"
    content = bytearray(arm_object(arm_attributes({6: 10, 28: 1})))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    assert all(size >= 0 for size in sections.sizes(file).values())
