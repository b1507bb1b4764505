import pytest
from machines import ARM64, MUSL, WITH_ZIG, choose

from buildlib.rust.backends import Backend
from buildlib.core.errors import MissingRequirements
from buildlib.core.targets import TARGETS


def test_auto_takes_zig_then_gcc_and_says_why(machine):
    zig = machine(tools=["aarch64-linux-gnu-gcc"], **WITH_ZIG)
    assert choose(zig) == Backend(name="zig", why="needs no cross compiler", minimum_glibc="2.31")
    gcc = machine(tools=["aarch64-linux-gnu-gcc"])
    path = "/usr/bin/aarch64-linux-gnu-gcc"
    assert choose(gcc, libc="2.36") == Backend(name="gcc", why=f"{path} is here", minimum_glibc="2.36", gcc=path)


def test_the_workspace_s_own_linker_stays_where_it_is_there(machine):
    linkers = {ARM64.triple: "my-ld"}
    absent = choose(machine(linkers=linkers, **WITH_ZIG))
    assert (absent.name, absent.why) == ("zig", "the workspace's linker my-ld is not here")
    backend = choose(machine(tools=["my-ld"], linkers=linkers, **WITH_ZIG))
    assert (backend.name, backend.why, backend.linker) == ("gcc", "the workspace links with my-ld", "my-ld")


def test_the_floor_is_what_was_set_else_the_row_s(machine):
    host = machine(**WITH_ZIG)
    assert choose(host, glibc="2.28").minimum_glibc == "2.28"
    assert choose(host, TARGETS["loong64"]).minimum_glibc == choose(host, TARGETS["loong64"], glibc="2.28").minimum_glibc == "2.36"
    assert choose(host, TARGETS["ppc64le"], glibc="2.28").minimum_glibc == "2.32"
    assert choose(host, MUSL, glibc="2.28").minimum_glibc == ""


def test_nothing_that_links_is_one_error(machine):
    with pytest.raises(MissingRequirements) as caught:
        choose(machine())
    assert caught.value.help == "pip install ziglang cargo-zigbuild"


def test_what_was_asked_for_is_taken(machine):
    assert choose(machine(**WITH_ZIG), backend="gcc").why == "it was asked for"
    assert choose(machine(**WITH_ZIG), backend="cross").name == "cross"
