import pytest
from machines import ARM64, MUSL, WITH_ZIG, choose

from buildlib.core.errors import MissingRequirements
from buildlib.core.targets import TARGETS
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
    with pytest.raises(MissingRequirements):
        choose(with_engine(Daemon(error="no socket")))


def test_the_linker_of_the_workspace_is_used_if_it_is_installed(machine):
    linkers = {ARM64.triple: "my-ld"}
    absent = choose(machine(linkers=linkers, **WITH_ZIG))
    assert absent == Zig(why="the workspace's linker my-ld is not installed", minimum_glibc="2.31")
    assert choose(machine(tools=["my-ld"], linkers=linkers, **WITH_ZIG)) == Gcc(
        why="the workspace links with my-ld", minimum_glibc="", linker="my-ld"
    )


def test_the_minimum_glibc_is_the_configured_one_or_the_target_s_default(machine):
    host = machine(**WITH_ZIG)
    assert choose(host, glibc="2.28").minimum_glibc == "2.28"
    assert choose(host, TARGETS["loong64"]).minimum_glibc == "2.36"
    assert choose(host, TARGETS["loong64"], glibc="2.28").minimum_glibc == "2.36"
    assert choose(host, TARGETS["ppc64le"], glibc="2.28").minimum_glibc == "2.32"
    assert choose(host, MUSL, glibc="2.28").minimum_glibc == ""


def test_a_machine_without_any_linker_is_one_error(machine):
    with pytest.raises(MissingRequirements) as caught:
        choose(machine())
    assert (caught.value.message, caught.value.help) == (
        "no backend can link for arm64: no zig, no aarch64-linux-gnu-gcc, no cross with a container engine",
        "pip install ziglang cargo-zigbuild",
    )


def test_a_requested_backend_is_not_questioned(machine):
    assert choose(machine(**WITH_ZIG), backend="gcc") == Gcc(why="requested", minimum_glibc="")
    assert choose(machine(**WITH_ZIG), backend="cross") == Cross(why="requested", minimum_glibc="")
    assert choose(machine(), backend="zig") == Zig(why="requested", minimum_glibc="2.31")
