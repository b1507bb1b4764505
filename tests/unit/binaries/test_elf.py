import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.binaries import elf
from buildlib.binaries.elf import Facts, Refusal, Unreadable, check, guess, read
from buildlib.core.targets import TARGETS

ARM64 = Facts(
    machine=183, bits=64, little=True, flags=0, kind="ET_DYN", loader="/lib/ld-linux-aarch64.so.1", glibc="2.30",
    needed=("libc.so.6",), rpath="", arm=0, size=1, sha256="00",
)  # fmt: skip
ARMV7 = replace(ARM64, machine=40, bits=32, flags=0x5000400, loader="/lib/ld-linux-armhf.so.3", arm=10)
MUSL = replace(ARM64, loader="", glibc="", needed=())


def told(facts, arch, minimum_glibc="2.31"):
    return [str(refusal) for refusal in check(facts, TARGETS[arch], floor)]


def test_what_is_as_wanted_is_not_refused():
    assert told(ARM64, "arm64") == told(ARMV7, "armv7") == told(MUSL, "arm64-musl", "") == []
    assert told(replace(ARM64, loader="", needed=(), glibc=""), "arm64") == []  # static glibc


@pytest.mark.parametrize(
    ("facts", "arch", "refusal"),
    [
        (replace(ARM64, machine=62), "arm64", "machine: is 62 (amd64), wanted 183 (arm64)"),
        (replace(ARM64, machine=9999), "arm64", "machine: is 9999 (unknown), wanted 183 (arm64)"),
        (replace(ARM64, bits=32), "arm64", "class: is ELF32, wanted ELF64"),
        (replace(ARM64, little=False), "arm64", "byte order: is big-endian, wanted little-endian"),
        (replace(ARM64, kind="ET_REL"), "arm64", "type: is ET_REL, wanted an executable"),
        (replace(ARM64, loader="/lib/x.so"), "arm64", "loader: is /lib/x.so, wanted /lib/ld-linux-aarch64.so.1"),
        (replace(ARM64, glibc="2.34"), "arm64", "glibc: is 2.34, wanted 2.31 or older"),
        (replace(ARM64, glibc="2.100"), "arm64", "glibc: is 2.100, wanted 2.31 or older"),
        (replace(ARM64, rpath="/home/me/lib"), "arm64", "rpath: is /home/me/lib, wanted none"),
        (replace(ARMV7, flags=0x5000200), "armv7", "float ABI: is 0x200, wanted 0x400"),
        (ARMV7, "armv6", "arm version: is v7, wanted v6K or older"),
        (replace(ARMV7, arm=0), "armv7", "arm version: is none, wanted v7 or older"),
        (ARM64, "arm64-musl", "linking: is dynamic (/lib/ld-linux-aarch64.so.1), wanted static"),
        (replace(MUSL, needed=("libc.so",)), "arm64-musl", "linking: is dynamic (libc.so), wanted static"),
    ],
)
def test_each_fact_is_refused_in_one_line(facts, arch, refusal):
    assert told(facts, arch) == [refusal]


def test_every_refused_fact_is_told():
    assert check(replace(ARM64, glibc="2.36", rpath="/x"), TARGETS["arm64"], "2.31") == (
        Refusal("glibc", "2.36", "2.31 or older"),
        Refusal("rpath", "/x", "none"),
    )


def test_without_a_floor_any_glibc_will_do():
    assert told(replace(ARM64, glibc="2.40"), "arm64", "") == []


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (ARM64, "arm64"),
        (MUSL, "arm64-musl"),
        (ARMV7, "armv7"),
        (replace(ARMV7, arm=7), "armv6"),
        (replace(ARM64, machine=8), None),
    ],
)
def test_a_file_of_unknown_origin_gets_the_row_it_fits(facts, name):
    row = guess(facts)
    assert (row.name if row else None) == name


def test_a_real_program_is_read():
    facts = read(Path(sys.executable).resolve())
    assert (
        facts.bits == struct.calcsize("P") * 8
        and facts.loader
        and facts.size == Path(sys.executable).resolve().stat().st_size
    )
    assert guess(facts) is not None and "libc.so.6" in facts.needed


def test_a_script_is_not_an_elf_file(tmp_path):
    (tmp_path / "x").write_text("#!/bin/sh\n")
    with pytest.raises(Unreadable, match="is not an ELF file") as caught:
        read(tmp_path / "x")
    assert caught.value.code == 6


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path_factory, data, as_elf):
    file = tmp_path_factory.mktemp("fuzz") / "x"
    file.write_bytes((b"\x7fELF\x02\x01\x01" if as_elf else b"") + data)
    try:
        read(file)
    except Unreadable as error:
        assert error.code == 6


@given(st.integers(0, 4000), st.integers(0, 255))
def test_a_broken_byte_in_a_real_header_is_read_or_refused(tmp_path_factory, place, value):
    whole = bytearray(Path(sys.executable).resolve().read_bytes()[:8192])
    whole[place % len(whole)] = value
    file = tmp_path_factory.mktemp("fuzz") / "x"
    file.write_bytes(whole)
    try:
        read(file)
    except Unreadable as error:
        assert "\n" not in error.message


def test_versions_compare_as_numbers():
    assert elf.version("2.9") < elf.version("2.31")
