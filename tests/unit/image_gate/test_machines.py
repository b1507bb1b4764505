"""Which files belong to which platform."""

import pytest
from gate_images import MACHINES

from buildlib.elf.object_file import Object
from buildlib.image_gate.machines import Elf, difference, identity, strict_difference

# Architectures of files that belong to an image, and those that a container may start in it.
BELONG = {
    "linux/amd64": ("amd64 x32 386", "amd64"),
    "linux/386": ("386", "386"),
    "linux/arm64": ("arm64", "arm64"),
    "linux/arm/v7": ("arm go-arm", "arm go-arm"),
    "linux/arm/v6": ("arm go-arm", "arm go-arm"),
    "linux/arm/v5": ("softfloat go-arm", "softfloat go-arm"),
    "linux/riscv64": ("riscv64", "riscv64"),
    "linux/ppc64le": ("ppc64le", "ppc64le"),
    "linux/s390x": ("s390x s390", "s390x"),
    "linux/mips64le": ("mips64le", "mips64le"),
}
DEVICES = {"bpf", "amdgpu", "cuda"}


def file(arch, kind="ET_DYN", arm=0, system=0, asks_cpu=False):
    machine, bits, little, flags = MACHINES[arch]
    return Elf(Object(machine=machine, bits=bits, little=little, flags=flags, kind=kind, arm=arm), system, asks_cpu)


@pytest.mark.parametrize("platform", BELONG)
def test_what_belongs_to_a_platform(platform):
    expected = identity(platform)
    belonging, started = (set(words.split()) for words in BELONG[platform])
    assert {arch for arch in MACHINES if difference(file(arch), expected) is None} == belonging | DEVICES
    assert {arch for arch in MACHINES if strict_difference(file(arch), expected) is None} == started


@pytest.mark.parametrize("kind", ["ET_NONE", "ET_CORE", "65024"])
def test_data_belongs_to_every_platform(kind):
    assert difference(file("amd64", kind), identity("linux/arm64")) is None


@pytest.mark.parametrize(
    ("platform", "arm", "expected"),
    [
        ("linux/arm/v7", 10, None), ("linux/arm/v7", 6, None), ("linux/arm/v7", 0, None),
        ("linux/arm/v7", 14, "Arm version: v8, expected v7 or older"),
        ("linux/arm/v7", 22, "Arm version: newer than v8, expected v7 or older"),
        ("linux/arm/v7", 13, None), ("linux/arm/v7", 17, None),  # of microcontrollers
        ("linux/arm/v6", 9, None), ("linux/arm/v6", 7, None), ("linux/arm/v6", 10, "Arm version: v7, expected v6K or older"),
    ],
)  # fmt: skip
def test_versions_of_arm(platform, arm, expected):
    found = difference(file("arm", arm=arm), identity(platform))
    assert (found and str(found)) == expected
    assert difference(file("arm", arm=arm, asks_cpu=True), identity(platform)) is None


def test_float_abi_of_files_older_than_the_abi_is_not_read():
    """In e_flags before version 5 of the EABI the two bits mean something else."""
    old = Elf(Object(machine=40, bits=32, little=True, flags=0x200, kind="ET_DYN", arm=0))
    assert difference(old, identity("linux/arm/v7")) is None


def test_names_of_unusual_files():
    big = Elf(Object(machine=183, bits=64, little=False, flags=0, kind="ET_DYN", arm=0))
    assert str(difference(big, identity("linux/arm64"))) == "architecture: AArch64, big-endian, expected AArch64"
    assert str(difference(file("x32"), identity("linux/arm64"))) == "architecture: x86-64, 32-bit, expected AArch64"
    assert str(strict_difference(file("bpf"), identity("linux/arm64"))) == "architecture: machine 247, expected AArch64"


@pytest.mark.parametrize("platform", ["", "linux", "linux/arm", "linux/arm/v9", "windows/amd64", "linux/sparc"])
def test_platforms_that_are_not_known(platform):
    assert identity(platform) is None


def test_levels_of_an_architecture_are_that_architecture():
    assert identity("linux/amd64/v3") == identity("linux/amd64") and identity("linux/arm64/v9") == identity(
        "linux/arm64"
    )
