"""pkg-config for a target: the program, and what it searches."""

import pytest
from machines import AMD64, ARM64

from buildlib.core.targets import TARGETS
from buildlib.machine import pkg_config
from buildlib.machine.pkg_config import Search

PATH, LIBDIR, SYSROOT = pkg_config.SEARCH


def search(machine, target=ARM64, **env):
    return pkg_config.for_target(machine(tools=["pkg-config"], env=env), target)


@pytest.mark.parametrize(
    ("env", "variables"),
    [
        ({}, {LIBDIR: "/nonexistent", PATH: ""}),
        # A plain path is this machine's, but for directories that are named after the target.
        ({PATH: "/opt/lib/pkgconfig"}, {LIBDIR: "/nonexistent", PATH: ""}),
        ({PATH: "/opt:/usr/lib/aarch64-linux-gnu/pkgconfig"}, {LIBDIR: "/nonexistent", PATH: "/usr/lib/aarch64-linux-gnu/pkgconfig"}),
        ({PATH: "/host", f"{PATH}_aarch64_unknown_linux_gnu": "/a"}, {LIBDIR: "/nonexistent", PATH: "/a"}),
        ({f"{PATH}_aarch64-unknown-linux-gnu": "/a", f"TARGET_{PATH}": "/b"}, {LIBDIR: "/nonexistent", PATH: "/a"}),
        ({f"TARGET_{PATH}": "/b"}, {LIBDIR: "/nonexistent", PATH: "/b"}),
        ({f"{LIBDIR}_aarch64_unknown_linux_gnu": "/l"}, {LIBDIR: "/l", PATH: ""}),
        ({f"{PATH}_riscv64gc_unknown_linux_gnu": "/r"}, {LIBDIR: "/nonexistent", PATH: ""}),
        # Set up by the user: nothing is taken away.
        ({"PKG_CONFIG_ALLOW_CROSS": "1", PATH: "/p"}, {}),
        ({LIBDIR: "/l"}, {}),
        ({f"{SYSROOT}_aarch64_unknown_linux_gnu": "/s", f"TARGET_{LIBDIR}": "/l"}, {SYSROOT: "/s", LIBDIR: "/l"}),
    ],
)  # fmt: skip
def test_what_is_searched_for_the_target(machine, env, variables):
    assert search(machine, **env) == Search("/usr/bin/pkg-config", variables)


def test_the_program_of_one_target(machine):
    named = "aarch64-linux-gnu-pkg-config"
    assert search(machine, PKG_CONFIG=named) == Search(named, {})
    assert search(machine, TARGETS["riscv64"], PKG_CONFIG=named).program == "/usr/bin/pkg-config"
    assert pkg_config.for_host(machine(tools=["pkgconf"], env={"PKG_CONFIG": named})) == "/usr/bin/pkgconf"
    assert pkg_config.for_host(machine(env={"PKG_CONFIG": "/opt/pc"})) == "/opt/pc"
    assert search(machine, PKG_CONFIG="/opt/pc").program == "/opt/pc"
    assert pkg_config.for_target(machine(), ARM64) is None and pkg_config.for_host(machine()) is None


def test_what_is_searched_for_this_machine(machine, rustup):
    def search(**env):
        return pkg_config.search_host(machine(tools=["pkg-config"], env=env, toolchains=(rustup,)))

    assert search(PKG_CONFIG_PATH="/p") == Search("/usr/bin/pkg-config", {})  # the plain one is in the environment
    assert search(HOST_PKG_CONFIG_PATH="/h") == Search("/usr/bin/pkg-config", {PATH: "/h"})
    assert search(PKG_CONFIG_LIBDIR_x86_64_unknown_linux_gnu="/l", HOST_PKG_CONFIG="/opt/pc") == Search(
        "/opt/pc", {LIBDIR: "/l"}
    )
    assert pkg_config.search_host(machine(toolchains=(rustup,))) is None


def test_the_command_of_a_script_is_quoted():
    assert Search("/a b/pc", {}).shell == "'/a b/pc'"
    assert Search("pc", {PATH: "/a b:/c", LIBDIR: ""}).shell == "env 'PKG_CONFIG_PATH=/a b:/c' PKG_CONFIG_LIBDIR= pc"


@pytest.mark.parametrize(
    ("env", "ignored"),
    [
        ({}, ""),
        ({PATH: "/a:/b/aarch64-linux-gnu/pkgconfig::/c"}, "/a:/c"),
        ({PATH: "/a", f"{PATH}_aarch64_unknown_linux_gnu": "/x"}, ""),
        ({PATH: "/a", "PKG_CONFIG_ALLOW_CROSS": "1"}, ""),
        ({PATH: "/a", "PKG_CONFIG": "aarch64-linux-gnu-pkg-config"}, ""),
    ],
)
def test_the_directories_that_are_not_searched(machine, env, ignored):
    assert pkg_config.ignored(machine(env=env), ARM64) == ignored
    assert pkg_config.named_for({PATH: "/usr/lib/x86_64-linux-gnu/pkgconfig"}, AMD64)
