from pathlib import Path

from buildlib.doctor import needs
from buildlib.rust.backends import Backend
from buildlib.machine.host import Daemon
from buildlib.core.targets import TARGETS

ARM64 = TARGETS["arm64"]
ZIG = Backend(name="zig", why="", minimum_glibc="2.31")


def lacks(host, backend=ZIG, tools=None):
    return needs.missing(needs.needs((ARM64,), {"arm64": backend}, tools or {}), host)


def test_everything_missing_is_listed_at_once_each_with_its_cure(machine):
    found = lacks(machine(), tools={"protoc": ("prost-build",), "cmake": ("a-sys", "b-sys")})
    assert needs.describe(found).splitlines() == [
        "  Rust standard library for arm64 (compile for aarch64-unknown-linux-gnu): rustup target add"
        " aarch64-unknown-linux-gnu or apt-get install rustc-web cargo-web rust-web-src",
        "  zig (the zig backend links with it): pip install ziglang cargo-zigbuild",
        "  cargo-zigbuild (zig links through it): pip install ziglang cargo-zigbuild",
        "  protoc (prost-build runs it): pip install 'buildlib[host-tools]' or apt-get install protobuf-compiler",
        "  cmake (a-sys, b-sys run it): pip install 'buildlib[host-tools]' or apt-get install cmake",
        "  QEMU for arm64 (start arm64 binaries before they count as built): apt-get install qemu-user-static",
        "  C library of arm64 (start arm64 binaries before they count as built):"
        " apt-get install libc6-arm64-cross libgcc-s1-arm64-cross",
    ]
    assert [need.what for need in found if not need.required] == ["QEMU for arm64", "C library of arm64"]


def test_what_is_there_is_not_missing(machine, system):
    host = machine(
        tools=["cmake", "qemu-aarch64-static"], files=["/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"],
        toolchains=(system,), zig=Path("/z"), zigbuild=Path("/b"), env={"PROTOC": "/opt/protoc"},
    )  # fmt: skip
    assert lacks(host, tools={"protoc": ("prost-build",), "cmake": ("a-sys",)}) == ()


def test_gcc_and_cross_have_needs_of_their_own(machine, system):
    host = machine(
        tools=["qemu-aarch64"], files=["/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"], toolchains=(system,)
    )
    assert [need.what for need in lacks(host, Backend(name="gcc", why="", minimum_glibc=""))] == ["aarch64-linux-gnu-gcc"]
    object.__setattr__(host, "daemon", Daemon(error="no such file"))
    cross = [need.what for need in lacks(host, Backend(name="cross", why="", minimum_glibc=""))]
    assert cross == ["cross", "rustup", "a container engine that answers"]


def test_setup_installs_the_distribution_s_packages_each_once(machine):
    assert needs.packages(lacks(machine(), tools={"cmake": ("a",), "perl": ("b",), "make": ("b",)})) == (
        "cmake", "perl", "make", "qemu-user-static", "libc6-arm64-cross", "libgcc-s1-arm64-cross",
    )  # fmt: skip


def test_who_is_not_root_asks_sudo(machine):
    step = needs.apt_install("perl")
    assert needs.privileged(machine(root=True), step) is step
    assert needs.privileged(machine(root=False), step).argv[:2] == ("sudo", "apt-get")
