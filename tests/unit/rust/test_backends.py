from pathlib import Path

import pytest
from machines import AMD64, ARM64, MUSL, WITH_ZIG, choose, sysroot

from buildlib.core.errors import UsageError
from buildlib.core.targets import TARGETS
from buildlib.machine import cargo_config
from buildlib.machine.host import Daemon
from buildlib.rust.backends.cross import Cross
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.backends.zig import Zig


def test_auto_prefers_zig_to_gcc_and_says_why(machine):
    zig = machine(tools=["aarch64-linux-gnu-gcc"], **WITH_ZIG)
    assert choose(zig) == Zig(why="needs no cross compiler", minimum_glibc="2.31")
    gcc = machine(tools=["aarch64-linux-gnu-gcc"])
    path = "/usr/bin/aarch64-linux-gnu-gcc"
    assert choose(gcc, libc="2.36") == Gcc(why=f"found {path}", minimum_glibc="2.36", gcc=path)


def test_auto_takes_cross_last_and_only_with_a_container_engine(machine):
    def with_engine(daemon):
        host = machine(tools=["cross"])
        host.__dict__["daemon"] = daemon
        return host

    assert choose(with_engine(Daemon(version="29.1"))) == Cross(
        why="found a running container engine", minimum_glibc=""
    )
    assert choose(with_engine(Daemon(error="no socket"))).name == "zig"


def configured(tables, **env):
    """Cargo's configuration with these [target] tables."""
    return cargo_config.resolve([(Path("/w/.cargo/config.toml"), {"target": tables})], env, Path("/w"))


def test_the_linker_of_the_workspace_is_used_if_it_is_installed(machine):
    config = configured({ARM64.triple: {"linker": "my-ld"}})
    absent = choose(machine(cargo_config=config, **WITH_ZIG))
    assert absent == Zig(why="the workspace's linker my-ld is not installed", minimum_glibc="2.31")
    assert choose(machine(tools=["my-ld"], cargo_config=config, **WITH_ZIG)) == Gcc(
        why="the workspace links with my-ld", minimum_glibc="", linker="my-ld"
    )
    gcc = "/usr/bin/aarch64-linux-gnu-gcc"
    assert choose(machine(tools=["aarch64-linux-gnu-gcc"], cargo_config=config)) == Gcc(
        why=f"the workspace's linker my-ld is not installed; found {gcc}", minimum_glibc="", gcc=gcc
    )


def test_a_linker_that_is_missing_is_a_requirement_of_gcc(machine):
    host = machine(cargo_config=configured({ARM64.triple: {"linker": "/opt/my-ld"}}))
    (requirement,) = choose(host, backend="gcc").requirements(ARM64)
    assert (requirement.what, requirement.met(host)) == ("/opt/my-ld", False)


def test_a_linker_of_every_target_is_this_machine_s(machine, rustup):
    def chosen(target, tables=(), **env):
        config = configured(dict(tables), **env)
        return choose(machine(tools=["clang"], toolchains=(rustup,), cargo_config=config, **WITH_ZIG), target)

    unix = {"cfg(unix)": {"linker": "clang"}}
    assert chosen(ARM64, unix).name == "zig" == chosen(ARM64, RUSTFLAGS="-Clinker=clang").name
    assert chosen(AMD64, unix).linker == "clang" == chosen(AMD64, RUSTFLAGS="-Clinker=clang").linker
    arm = {'cfg(target_arch = "aarch64")': {"linker": "clang"}}
    assert (
        chosen(ARM64, arm).linker
        == "clang"
        == chosen(ARM64, CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER="clang").linker
    )


def test_the_minimum_glibc_is_the_configured_one_or_the_target_s_default(machine):
    host = machine(**WITH_ZIG)
    assert choose(host, glibc="2.28").minimum_glibc == "2.28"
    assert choose(host, TARGETS["loong64"]).minimum_glibc == "2.36"
    assert choose(host, TARGETS["loong64"], glibc="2.28").minimum_glibc == "2.36"
    assert choose(host, TARGETS["ppc64le"], glibc="2.28").minimum_glibc == "2.32"
    assert choose(host, MUSL, glibc="2.28").minimum_glibc == ""


def test_a_minimum_glibc_that_zig_cannot_link_for_is_refused_with_the_range(machine):
    host = machine(**WITH_ZIG)
    host.__dict__["newest_glibc"] = "2.44"
    for wrong in ("2.16", "2.5", "2.45", "2.999"):
        with pytest.raises(UsageError) as caught:
            choose(host, glibc=wrong)
        assert (caught.value.code, caught.value.message, caught.value.help) == (
            2, f"glibc = {wrong} (flag): zig links for glibc 2.17 to 2.44", "choose a version in this range, or leave it out for 2.31",
        )  # fmt: skip
    assert [choose(host, glibc=right).minimum_glibc for right in ("2.17", "2.44")] == ["2.17", "2.44"]
    # One setting applies to all arches, and some have no C library that old; musl has none.
    assert choose(host, TARGETS["riscv64"], glibc="2.17").minimum_glibc == "2.27"
    assert choose(host, MUSL, glibc="2.999").minimum_glibc == ""
    assert choose(machine(tools=["cc"]), AMD64, glibc="2.5", backend="gcc").minimum_glibc == "2.5"
    # A zig whose files do not tell is not questioned.
    assert choose(machine(**WITH_ZIG), glibc="2.999").minimum_glibc == "2.999"


def test_a_machine_without_any_linker_lacks_zig(machine):
    """It is no error by itself: a report and an error list it together with everything else that is missing."""
    why = "the default; no aarch64-linux-gnu-gcc, no cross with a container engine"
    for host in (machine(), machine(zig=Path("/zig")), machine(zigbuild=Path("/zigbuild"))):
        assert choose(host) == Zig(why=why, minimum_glibc="2.31")
    required = choose(machine()).requirements(ARM64)
    assert [(one.what, one.required, one.met(machine())) for one in required][:2] == [
        ("zig", True, False), ("cargo-zigbuild", True, False)
    ]  # fmt: skip


def test_a_requested_backend_is_not_questioned(machine):
    assert choose(machine(**WITH_ZIG), backend="gcc") == Gcc(why="requested", minimum_glibc="")
    assert choose(machine(**WITH_ZIG), backend="cross") == Cross(why="requested", minimum_glibc="")
    assert choose(machine(), backend="zig") == Zig(why="requested", minimum_glibc="2.31")


def test_the_minimum_glibc_rises_to_what_system_libraries_require(machine):
    host = machine(sysroots={"arm64": sysroot()}, **WITH_ZIG)
    assert choose(host).minimum_glibc == "2.36"
    assert choose(host, libc="2.41", backend="gcc").minimum_glibc == "2.41"
    assert choose(host, libc="2.31", backend="gcc").minimum_glibc == "2.36"
    assert choose(machine(sysroots={"arm64": sysroot(glibc="2.17")}, **WITH_ZIG)).minimum_glibc == "2.31"
    assert choose(host, glibc="2.39").minimum_glibc == "2.39"
    for backend in ("zig", "gcc"):
        with pytest.raises(UsageError) as caught:
            choose(host, glibc="2.31", backend=backend)
        message = "glibc = 2.31 (flag): libssl.so.3 of libssl3 (Debian bookworm) requires glibc 2.36"
        assert (caught.value.message, caught.value.help) == (
            message,
            "leave the setting out for 2.36, or set `suite` to an older one",
        )


def test_cross_does_not_see_the_libraries(machine):
    host = machine(sysroots={"arm64": sysroot()}, **WITH_ZIG)
    with pytest.raises(UsageError, match="arm64: the container of cross does not see the setting `libraries`"):
        choose(host, backend="cross")
    assert choose(host, TARGETS["armv7"], backend="cross").name == "cross"
