import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from elf_files import linked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.core.targets import TARGETS
from buildlib.core.versions import version
from buildlib.elf import Facts, Mismatch, Unreadable, check, guess, is_soname_of, read
from buildlib.elf.facts import Objects
from buildlib.elf.object_file import Object

ARM64 = Facts(
    machine=183, bits=64, little=True, flags=0, kind="ET_DYN", loader="/lib/ld-linux-aarch64.so.1", glibc="2.30",
    needed=("libc.so.6",), rpath="", arm=0, size=1, sha256="00",
)  # fmt: skip
ARMV7 = replace(ARM64, machine=40, bits=32, flags=0x5000400, loader="/lib/ld-linux-armhf.so.3", arm=10)
MUSL = replace(ARM64, loader="", glibc="", needed=(), pie=True)
LIBRARY = replace(ARM64, loader="", has_entry=False)  # as rustc links a cdylib
OBJECT = Object(machine=183, bits=64, little=True, flags=0, kind="ET_REL", arm=0)
ARM_OBJECT = replace(OBJECT, machine=40, bits=32, flags=0x5000400, arm=10)


def mismatches(facts, arch, minimum_glibc="2.31", kind="bin", name=""):
    return [str(mismatch) for mismatch in check(facts, TARGETS[arch], minimum_glibc, kind, name)]


def archive(*objects):
    """The facts of an archive with these objects."""
    groups = tuple(Objects(each, f"{index}.o", 1) for index, each in enumerate(objects))
    first = objects[0]
    return replace(
        LIBRARY, kind="ET_REL", machine=first.machine, bits=first.bits, arm=first.arm, needed=(), objects=groups
    )


def test_a_file_as_required_has_no_mismatch():
    assert mismatches(ARM64, "arm64") == mismatches(ARMV7, "armv7") == mismatches(MUSL, "arm64-musl", "") == []
    assert mismatches(replace(ARM64, loader="", needed=(), glibc=""), "arm64") == []  # static glibc


@pytest.mark.parametrize(
    ("facts", "arch", "mismatch"),
    [
        (replace(ARM64, machine=62), "arm64", "machine: 62 (amd64), expected 183 (arm64)"),
        (replace(ARM64, machine=9999), "arm64", "machine: 9999 (unknown), expected 183 (arm64)"),
        (replace(ARM64, bits=32), "arm64", "class: ELF32, expected ELF64"),
        (replace(ARM64, little=False), "arm64", "byte order: big-endian, expected little-endian"),
        (replace(ARM64, kind="ET_REL"), "arm64", "type: ET_REL, expected an executable"),
        (replace(ARM64, loader="/lib/x.so"), "arm64", "loader: /lib/x.so, expected /lib/ld-linux-aarch64.so.1"),
        (replace(ARM64, glibc="2.34"), "arm64", "glibc: 2.34, expected 2.31 or older"),
        (replace(ARM64, glibc="2.100"), "arm64", "glibc: 2.100, expected 2.31 or older"),
        (replace(ARM64, rpath="/home/me/lib"), "arm64", "rpath: /home/me/lib, expected none"),
        (replace(ARMV7, flags=0x5000200), "armv7", "float ABI: 0x200, expected 0x400"),
        (ARMV7, "armv6", "arm version: v7, expected v6K or older"),
        (replace(ARMV7, arm=0), "armv7", "arm version: none, expected v7 or older"),
        (ARM64, "arm64-musl", "linking: dynamic (/lib/ld-linux-aarch64.so.1), expected static"),
        (replace(MUSL, needed=("libc.so",)), "arm64-musl", "linking: dynamic (libc.so), expected static"),
        (LIBRARY, "arm64", "type: a shared library, expected an executable"),
        (replace(ARM64, soname="libc.so.6"), "arm64", "type: a shared library, expected an executable"),
        (archive(OBJECT), "arm64", "type: an archive, expected an executable"),
        (
            replace(ARM64, needed=("libc.so.6", "/build/libz.so", "./libq.so")),
            "arm64",
            "needed libraries: /build/libz.so, ./libq.so, expected names without a directory",
        ),
        (
            replace(ARM64, text_relocations=True),
            "arm64",
            "text relocations: present, expected none: all code, also assembly, position-independent",
        ),
    ],
)
def test_each_mismatch_is_one_line(facts, arch, mismatch):
    assert mismatches(facts, arch) == [mismatch]


def test_every_mismatch_is_reported():
    assert check(replace(ARM64, glibc="2.36", rpath="/x"), TARGETS["arm64"], "2.31") == (
        Mismatch("glibc", "2.36", "2.31 or older"),
        Mismatch("rpath", "/x", "none"),
    )


def test_without_a_minimum_glibc_every_version_is_accepted():
    assert mismatches(replace(ARM64, glibc="2.40"), "arm64", "") == []


@pytest.mark.parametrize(
    ("facts", "arch"),
    [
        (LIBRARY, "arm64"),
        (replace(LIBRARY, soname="libfoo.so.1"), "arm64"),
        (replace(LIBRARY, needed=(), glibc=""), "arm64"),  # it needs no C library
        (replace(LIBRARY, needed=(), glibc=""), "arm64-musl"),
        (
            replace(LIBRARY, needed=("libc.so", "libgcc_s.so.1"), glibc=""),
            "arm64-musl",
        ),  # with -C target-feature=-crt-static
        (replace(ARMV7, loader="", has_entry=False), "armv7"),
        (
            replace(LIBRARY, loader=ARM64.loader, soname="libfoo.so", has_entry=True),
            "arm64",
        ),  # as glibc's own libc.so.6
    ],
)
def test_a_shared_library_as_required_has_no_mismatch(facts, arch):
    assert mismatches(facts, arch, kind="cdylib", name="libfoo.so") == []


@pytest.mark.parametrize(
    ("facts", "arch", "mismatch"),
    [
        (replace(LIBRARY, machine=62), "arm64", "machine: 62 (amd64), expected 183 (arm64)"),
        (replace(LIBRARY, little=False), "arm64", "byte order: big-endian, expected little-endian"),
        (replace(LIBRARY, kind="ET_REL"), "arm64", "type: ET_REL, expected a shared library"),
        (replace(ARM64, kind="ET_EXEC"), "arm64", "type: an executable, expected a shared library"),
        (replace(ARM64, pie=True), "arm64", "type: an executable, expected a shared library"),
        (archive(OBJECT), "arm64", "type: an archive, expected a shared library"),
        (replace(LIBRARY, glibc="2.34"), "arm64", "glibc: 2.34, expected 2.31 or older"),
        (replace(LIBRARY, rpath="/home/me/lib"), "arm64", "rpath: /home/me/lib, expected none"),
        (replace(LIBRARY, needed=("libc.so",)), "arm64", "C library: libc.so, expected glibc or none"),
        (
            replace(LIBRARY, needed=("libc.musl-aarch64.so.1",)),
            "arm64",
            "C library: libc.musl-aarch64.so.1, expected glibc or none",
        ),
        (LIBRARY, "arm64-musl", "C library: libc.so.6, expected musl's libc or none"),
        (replace(LIBRARY, needed=("libm.so.6",)), "arm64-musl", "C library: libm.so.6, expected musl's libc or none"),
        (
            replace(LIBRARY, loader="/lib/x.so", soname="libfoo.so"),
            "arm64",
            "loader: /lib/x.so, expected /lib/ld-linux-aarch64.so.1",
        ),
        (
            replace(LIBRARY, soname="/opt/libfoo.so"),
            "arm64",
            "soname: /opt/libfoo.so, expected libfoo.so, with a version or without",
        ),
        (
            replace(LIBRARY, soname="libbar.so"),
            "arm64",
            "soname: libbar.so, expected libfoo.so, with a version or without",
        ),
        (
            replace(LIBRARY, text_relocations=True),
            "arm64",
            "text relocations: present, expected none: all code, also assembly, position-independent",
        ),
        (replace(ARMV7, loader="", has_entry=False, flags=0x5000200), "armv7", "float ABI: 0x200, expected 0x400"),
        (replace(ARMV7, loader="", has_entry=False, arm=14), "armv7", "arm version: v8, expected v7 or older"),
    ],
)
def test_each_mismatch_of_a_shared_library_is_one_line(facts, arch, mismatch):
    assert mismatches(facts, arch, kind="cdylib", name="libfoo.so") == [mismatch]


@pytest.mark.parametrize(
    ("soname", "name"),
    [
        ("libfoo.so", "libfoo.so"),
        ("libfoo.so.1", "libfoo.so"),  # cargo-c and build.rs: the file is renamed when it is installed
        ("libfoo.so.1", "libfoo.so.1.2.3"),  # meson, CMake and libtool
        ("libfoo.so.0.1", "libfoo.so.0.1.0"),  # cargo-c for a version below 1
        ("libfoo.so.1", "libfoo.so.1"),
        ("libfoo", "libfoo.so"),
        ("libfoo-bar.so.1", "libfoo_bar.so"),
        ("librsvg-2.so.2", "librsvg_2.so"),
        ("libbfd-2.9.0.so", "libbfd.so"),  # libtool -release
        ("libglycin-2.so.0", "liblibglycin.so"),
        ("libfoo.so.1", ""),  # of an unknown file
        ("libfoo.sorted.so.1", "libfoo.sorted.so"),
    ],
)
def test_a_soname_of_the_file(soname, name):
    assert is_soname_of(soname, name)


@pytest.mark.parametrize(
    ("soname", "name"),
    [
        ("libbar.so", "libfoo.so"), ("libfoobar.so", "libfoo.so"), ("libfoo.so", "libfoobar.so"), ("libfoo2.so", "libfoo.so"),
        ("libfoo.so.2", "libfoo.so.1"), ("libfoo.so.10", "libfoo.so.1.0"), ("/libfoo.so", "libfoo.so"), ("./libfoo.so", ""),
        ("lib/libfoo.so", "libfoo.so"), ("libf.o.so", "libfoo.so"), ("lib", "libfoo.so"), ("libfoo.so\n", "libfoo.so"),
        ("libfoo-.so", "libfoo.so"), ("libfoo.so.1", "libfoo-2.so.1"),
    ],
)  # fmt: skip
def test_a_soname_of_another_library(soname, name):
    assert not is_soname_of(soname, name)


@pytest.mark.parametrize(
    ("objects", "arch"),
    [
        ([OBJECT], "arm64"),
        ([OBJECT], "arm64-musl"),
        ([ARM_OBJECT, replace(ARM_OBJECT, flags=0x5000000)], "armv7"),  # without floats
        ([ARM_OBJECT, replace(ARM_OBJECT, flags=0x5000000, arm=0)], "armv7"),  # assembly without attributes
        ([replace(ARM_OBJECT, arm=7)], "armv6"),
        ([replace(OBJECT, machine=243, flags=5)], "riscv64"),
        ([replace(OBJECT, machine=21, flags=2), replace(OBJECT, machine=21)], "ppc64le"),
    ],
)
def test_an_archive_as_required_has_no_mismatch(objects, arch):
    assert mismatches(archive(*objects), arch, kind="staticlib") == []


@pytest.mark.parametrize(
    ("objects", "arch", "lines"),
    [
        ([OBJECT], "amd64", ["machine of 0.o: 183 (arm64), expected 62 (amd64)"]),
        ([OBJECT, replace(OBJECT, machine=62)], "arm64", ["machine of 1.o: 62 (amd64), expected 183 (arm64)"]),
        (
            [OBJECT, replace(OBJECT, bits=32, little=False)],
            "arm64",
            ["class of 1.o: ELF32, expected ELF64", "byte order of 1.o: big-endian, expected little-endian"],
        ),
        ([ARM_OBJECT, replace(ARM_OBJECT, flags=0x5000200)], "armv7", ["float ABI of 1.o: 0x200, expected 0x400"]),
        ([ARM_OBJECT], "armv6", ["arm version of 0.o: v7, expected v6K or older"]),
        ([replace(OBJECT, machine=243, flags=1)], "riscv64", ["float ABI of 0.o: 0x0, expected 0x4"]),
        ([OBJECT, replace(OBJECT, kind="ET_DYN")], "arm64", ["type of 1.o: ET_DYN, expected an ELF object file"]),
        ([OBJECT, replace(OBJECT, machine=0, kind="LLVM bitcode")], "arm64",
         ["type of 1.o: LLVM bitcode, expected an ELF object file"]),
    ],
)  # fmt: skip
def test_mismatches_of_an_archive_name_the_object(objects, arch, lines):
    assert mismatches(archive(*objects), arch, kind="staticlib") == lines


def test_objects_that_are_compiled_for_the_same_are_one_line():
    facts = replace(archive(OBJECT), objects=(Objects(OBJECT, "a.o", 421),))
    line = "machine of a.o and 420 more: 183 (arm64), expected 62 (amd64)"
    assert mismatches(facts, "amd64", kind="staticlib") == [line]


def test_a_file_that_is_no_archive_is_a_mismatch():
    assert mismatches(LIBRARY, "arm64", kind="staticlib") == ["type: a shared library, expected an archive"]


@pytest.mark.parametrize(
    ("facts", "artifact"),
    [
        (ARM64, "bin"),
        (replace(ARM64, kind="ET_EXEC", soname="x.so"), "bin"),
        (replace(ARM64, pie=True, soname="x.so"), "bin"),
        (MUSL, "bin"),  # static-pie
        (replace(MUSL, pie=False), "bin"),  # static-pie of an old linker
        (LIBRARY, "cdylib"),
        (replace(LIBRARY, has_entry=True), "cdylib"),  # old linkers write an entry point
        (replace(LIBRARY, needed=()), "cdylib"),
        (replace(ARM64, soname="libc.so.6"), "cdylib"),
        (archive(OBJECT), "staticlib"),
    ],
)
def test_what_a_file_is(facts, artifact):
    assert facts.artifact == artifact


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (ARM64, "arm64"),
        (LIBRARY, "arm64"),
        (replace(LIBRARY, needed=()), "arm64"),
        (replace(LIBRARY, needed=("libc.so",)), "arm64-musl"),
        (archive(OBJECT), "arm64"),
        (archive(replace(ARM_OBJECT, arm=9)), "armv6"),
        (MUSL, "arm64-musl"),
        (ARMV7, "armv7"),
        (replace(ARMV7, arm=7), "armv6"),
        (replace(ARM64, machine=8), None),
    ],
)
def test_a_file_of_unknown_origin_gets_the_target_that_it_fits(facts, name):
    target = guess(facts)
    assert (target.name if target else None) == name


def test_a_real_program_is_read():
    facts = read(Path(sys.executable).resolve())
    assert (
        facts.bits == struct.calcsize("P") * 8
        and facts.loader
        and facts.size == Path(sys.executable).resolve().stat().st_size
    )
    assert guess(facts) is not None and "libc.so.6" in facts.needed


SONAME, RUNPATH, FLAGS, FLAGS_1, TEXTREL, NEEDED = 14, 29, 30, 0x6FFFFFFB, 22, 1
NOW, PIE = 1, 0x08000000


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (linked((NEEDED, "libc.so.6"), (SONAME, "libfoo.so.1"), (FLAGS, 8), (FLAGS_1, NOW)), {"soname": "libfoo.so.1"}),
        (linked((NEEDED, "libc.so.6"), (TEXTREL, 0)), {"text_relocations": True}),
        (linked((NEEDED, "libc.so.6"), (FLAGS, 8 | 4)), {"text_relocations": True}),
        (linked((NEEDED, "libc.so.6"), (RUNPATH, "/x"), (FLAGS, 8)), {"rpath": "/x"}),
        (
            linked((NEEDED, "libc.so.6"), (FLAGS_1, NOW | PIE), entry=64, loader=ARM64.loader),
            {"pie": True, "has_entry": True, "loader": ARM64.loader},
        ),
        (linked((FLAGS_1, PIE), entry=64), {"pie": True, "has_entry": True, "needed": ()}),
    ],
    ids=["soname", "DT_TEXTREL", "DF_TEXTREL", "runpath", "program", "static-pie"],
)
def test_the_dynamic_section_is_read(tmp_path, data, changes):
    (tmp_path / "x").write_bytes(data)
    facts = replace(read(tmp_path / "x"), size=1, sha256="00")
    assert facts == replace(LIBRARY, glibc="", alignment=0x10000, **changes)


def segments_without_end():
    """A file whose program headers have no size and are as many as a number can be."""
    data = bytearray(linked(sections=[(1, b"", 0, 0)]))
    (sections,) = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<Q", data, 32, 0)  # e_phoff
    struct.pack_into("<2H", data, 54, 0, 0xFFFF)  # e_phentsize, e_phnum
    struct.pack_into("<I", data, sections + 44, 0xFFFFFFFF)  # sh_info of the first, which is then their number
    return bytes(data)


def versions_without_end():
    """A file whose one required version is its own successor."""
    version_needed = struct.pack("<2H3I", 1, 0xFFFF, 0, 16, 0) + struct.pack("<I2H2I", 0, 0, 2, 0, 0)
    return linked(sections=[(3, b"\0x\0", 0, 0), (0x6FFFFFFE, version_needed, 1, 0xFFFFFFFF)])


@pytest.mark.parametrize("data", [segments_without_end(), versions_without_end()], ids=["segments", "versions"])
def test_a_file_with_more_entries_than_bytes_is_unreadable(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(Unreadable, match="broken ELF file"):
        read(tmp_path / "x")


def test_a_script_is_not_an_elf_file(tmp_path):
    (tmp_path / "x").write_text("#!/bin/sh\n")
    with pytest.raises(Unreadable, match="x: not an ELF file") as caught:
        read(tmp_path / "x")
    assert caught.value.code == 6


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_read_or_unreadable(tmp_path_factory, data, as_elf):
    file = tmp_path_factory.mktemp("fuzz") / "x"
    file.write_bytes((b"\x7fELF\x02\x01\x01" if as_elf else b"") + data)
    try:
        read(file)
    except Unreadable as error:
        assert error.code == 6


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.integers(0, 4000), st.integers(0, 255))
def test_a_file_with_one_changed_byte_is_read_or_unreadable(tmp_path_factory, place, value):
    data = bytearray(Path(sys.executable).resolve().read_bytes()[:8192])
    data[place % len(data)] = value
    file = tmp_path_factory.mktemp("fuzz") / "x"
    file.write_bytes(data)
    try:
        read(file)
    except Unreadable as error:
        assert "\n" not in error.message


def test_versions_compare_as_numbers():
    assert version("2.9") < version("2.31")
