import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.binaries.elf import Facts, Mismatch, Unreadable, check, guess, read
from buildlib.core.targets import TARGETS
from buildlib.core.versions import version

ARM64 = Facts(
    machine=183, bits=64, little=True, flags=0, kind="ET_DYN", loader="/lib/ld-linux-aarch64.so.1", glibc="2.30",
    needed=("libc.so.6",), rpath="", arm=0, size=1, sha256="00",
)  # fmt: skip
ARMV7 = replace(ARM64, machine=40, bits=32, flags=0x5000400, loader="/lib/ld-linux-armhf.so.3", arm=10)
MUSL = replace(ARM64, loader="", glibc="", needed=())


def mismatches(facts, arch, minimum_glibc="2.31"):
    return [str(mismatch) for mismatch in check(facts, TARGETS[arch], minimum_glibc)]


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
    ("facts", "name"),
    [
        (ARM64, "arm64"),
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
