"""The version of glibc, from a libc.so.6 with a section .gnu.version_d and nothing else."""

import struct

import pytest

from buildlib.core.targets import TARGETS
from buildlib.machine import glibc

VERDEF, STRTAB = 0x6FFFFFFD, 3  # types of sections (gABI, and the LSB for versions of symbols)


def library(*versions):
    """A 64-bit ELF file that defines these versions of symbols."""
    names, strings = {}, b"\0"
    for name in versions:
        names[name] = len(strings)
        strings += name.encode() + b"\0"
    definitions = b""
    for number, name in enumerate(versions, 1):
        # vd_version, vd_flags, vd_ndx, vd_cnt, vd_hash, vd_aux, vd_next; then vda_name, vda_next.
        last = number == len(versions)
        definitions += struct.pack("<HHHHIII", 1, 0, number, 1, 0, 20, 0 if last else 28)
        definitions += struct.pack("<II", names[name], 0)
    section_names = b"\0.gnu.version_d\0.dynstr\0.shstrtab\0"
    start, contents, headers = 64, b"", [bytes(64)]
    for offset, kind, data, link, info in (
        (1, VERDEF, definitions, 2, len(versions)),
        (16, STRTAB, strings, 0, 0),
        (24, STRTAB, section_names, 0, 0),
    ):
        # sh_name, sh_type, sh_flags, sh_addr, sh_offset, sh_size, sh_link, sh_info, sh_addralign, sh_entsize
        headers.append(
            struct.pack("<IIQQQQIIQQ", offset, kind, 0, 0, start + len(contents), len(data), link, info, 1, 0)
        )
        contents += data
    # e_type DYN, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, sizes and numbers of headers, e_shstrndx
    header = struct.pack("<HHIQQQIHHHHHH", 3, 183, 1, 0, 0, start + len(contents), 0, 64, 0, 0, 64, 4, 3)
    return b"\x7fELF" + bytes([2, 1, 1]) + bytes(9) + header + contents + b"".join(headers)


@pytest.mark.parametrize(
    ("versions", "newest"),
    [
        (("GLIBC_2.2.5", "GLIBC_2.31", "GLIBC_2.4", "GLIBC_PRIVATE"), "2.31"),
        (("libc.so.6", "GLIBC_2.9", "GLIBC_2.10"), "2.10"),
        (("GLIBC_2.2.5",), "2.2"),
        (("GLIBC_ABI_DT_RELR", "GLIBC_2.36"), "2.36"),
        (("GLIBC_PRIVATE",), ""),
        (("GLIBCXX_3.4.30",), ""),
    ],
)
def test_the_newest_version_that_a_library_defines(tmp_path, versions, newest):
    path = tmp_path / "libc.so.6"
    path.write_bytes(library(*versions))
    assert glibc.defined_version(path) == newest


@pytest.mark.parametrize("data", [b"", b"/* GNU ld script */", b"\x7fELF", b"\x7fELF" + bytes(60)])
def test_a_file_that_is_not_a_library_has_no_version(tmp_path, data):
    path = tmp_path / "libc.so.6"
    path.write_bytes(data)
    assert glibc.defined_version(path) == ""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A root directory in place of the machine's."""
    monkeypatch.setattr(glibc, "Path", lambda path: tmp_path / path.removeprefix("/"))

    def install(path, *versions):
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_bytes(library(*versions))

    return install


def test_the_cross_packages_come_before_the_multiarch_library(root):
    assert glibc.linked_version(TARGETS["arm64"]) == ""
    root("lib/aarch64-linux-gnu/libc.so.6", "GLIBC_2.41")
    assert glibc.linked_version(TARGETS["arm64"]) == "2.41"
    root("usr/aarch64-linux-gnu/lib/libc.so.6", "GLIBC_2.36")
    assert glibc.linked_version(TARGETS["arm64"]) == "2.36"
    assert glibc.linked_version(TARGETS["armv7"]) == ""
