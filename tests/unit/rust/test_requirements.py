"""What a build requires of the machine: the standard library, the backend, host tools and QEMU."""

from pathlib import Path

import pytest
from machines import ARM64

from buildlib.core.requirements import describe, missing
from buildlib.crates.graph import Script
from buildlib.machine.cargo_config import CargoConfig, Value
from buildlib.machine.host import Daemon
from buildlib.rust.backends.cross import Cross
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.backends.zig import Zig
from buildlib.rust.provision import build_requirements

ZIG = Zig(why="", minimum_glibc="2.31")


def absent(host, backend=ZIG, scripts=()):
    return missing(build_requirements(host, {ARM64: backend}, {ARM64: tuple(scripts)}, lambda: False), host)


def script(package, **crates):
    return Script(package=package, version="1.0.0", for_host=False, crates=crates)


PROTOCOLS = script("api", **{"prost-build": "0.14.6"})


@pytest.mark.usefixtures("from_index")
def test_everything_missing_is_listed_at_once_with_its_fixes(machine):
    requirements = absent(
        machine(), scripts=(PROTOCOLS, script("a-sys", cmake="1.0.0"), script("b-sys", cmake="1.0.0"))
    )
    assert describe(requirements).splitlines() == [
        "  Rust standard library for arm64 (compile for aarch64-unknown-linux-gnu): rustup target add"
        " aarch64-unknown-linux-gnu or apt-get install rustc-web cargo-web rust-web-src",
        "  zig (the zig backend links with it): pip install ziglang cargo-zigbuild",
        "  cargo-zigbuild (zig links through it): pip install ziglang cargo-zigbuild",
        "  protoc (prost-build runs it for api): pip install 'cargo-buildlib[host-tools]' or apt-get install protobuf-compiler"
        " libprotobuf-dev",
        "  cmake (cmake runs it for a-sys, b-sys): pip install 'cargo-buildlib[host-tools]' or apt-get install cmake",
        "  QEMU for arm64 (start arm64 binaries before they count as built): apt-get install qemu-user-static",
        "  C library of arm64 (start arm64 binaries before they count as built):"
        " apt-get install libc6-arm64-cross libgcc-s1-arm64-cross",
    ]
    optional = [requirement.what for requirement in requirements if not requirement.required]
    assert optional == ["QEMU for arm64", "C library of arm64"]


def test_what_the_machine_has_is_not_missing(machine, system):
    host = machine(
        tools=["cmake", "qemu-aarch64-static"], files=["/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"],
        toolchains=(system,), zig=Path("/z"), zigbuild=Path("/b"), env={"PROTOC": "/opt/protoc"},
    )  # fmt: skip
    assert absent(host, scripts=(PROTOCOLS, script("a-sys", cmake="1.0.0"))) == ()


def test_gcc_and_cross_have_requirements_of_their_own(machine, system):
    host = machine(
        tools=["qemu-aarch64"], files=["/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"], toolchains=(system,)
    )
    gcc = absent(host, Gcc(why="", minimum_glibc=""))
    assert [requirement.what for requirement in gcc] == ["aarch64-linux-gnu-gcc"]
    object.__setattr__(host, "daemon", Daemon(error="no such file"))
    cross = absent(host, Cross(why="", minimum_glibc=""))
    assert [requirement.what for requirement in cross] == ["cross", "rustup", "a running container engine"]


def test_a_toolchain_that_rustup_does_not_have_is_the_cause(machine):
    host = machine(
        rustup_error="toolchain '1.2.3-x86_64-unknown-linux-gnu' is not installed", zig=Path("/z"), zigbuild=Path("/b")
    )
    first = describe(absent(host)).splitlines()[0]
    assert first == (
        "  a Rust compiler (toolchain '1.2.3-x86_64-unknown-linux-gnu' is not installed): rustup default stable, or rustup toolchain"
        " install with the name of the toolchain"
    )


@pytest.mark.parametrize(
    ("named", "fix"),
    [(Value("/x/rustc", "RUSTC"), "unset RUSTC"), (Value("/x/rustc", "CARGO_BUILD_RUSTC"), "unset CARGO_BUILD_RUSTC"),
     (Value("/x/rustc", "/w/.cargo/config.toml", "build.rustc"), "correct build.rustc in /w/.cargo/config.toml")],
)  # fmt: skip
def test_what_names_a_compiler_that_does_not_exist_is_to_be_changed(machine, named, fix):
    reason = f"{named.where} names /x/rustc, which does not exist"
    config = CargoConfig(rustc=named)
    host = machine(rustup_error=reason, cargo_config=config, zig=Path("/z"), zigbuild=Path("/b"))
    assert describe(absent(host)).splitlines()[0] == f"  a Rust compiler ({reason}): {fix}"
