import os
import subprocess
from pathlib import Path

import pytest
from machines import AMD64, ARM64, WITH_ZIG, choose, sysroot

from buildlib.core.plan import Write
from buildlib.core.targets import TARGETS
from buildlib.machine import cargo_config
from buildlib.rust import environment as environments
from buildlib.rust.std import Compiler

CMAKE = """\
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
{programs}set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH {roots})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY {mode})
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE {mode})
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE {mode})
"""


def environment(host, toolchain, target=ARM64, tools=Path("/t"), **flags):
    return environments.environment(host, target, choose(host, target, **flags), Compiler(toolchain=toolchain), tools)


def test_the_user_s_variables_for_the_host_are_kept_for_the_host(machine, rustup):
    env, _ = environment(machine(env={"CC": "ccache clang", "HOST_CXX": "clang++"}, **WITH_ZIG), rustup)
    assert (env["CC_x86_64_unknown_linux_gnu"], env["HOST_CC"]) == ("ccache clang", "ccache clang")
    assert "HOST_CXX" not in env  # the user's own value stays
    assert env["CXX_x86_64_unknown_linux_gnu"] == "clang++"
    assert env["CC"] == "/t/aarch64-unknown-linux-gnu-cc"


def test_the_user_s_variables_for_the_target_are_not_replaced(machine, rustup):
    own = {"CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": "mine", "CC_aarch64_unknown_linux_gnu": "mine-cc"}
    config = cargo_config.resolve([], own, Path("/w"))
    env, _ = environment(machine(tools=["mine"], env=own, cargo_config=config, **WITH_ZIG), rustup, backend="zig")
    assert set(own).isdisjoint(env)
    # A linker that is not installed cannot link.
    env, _ = environment(machine(env=own, cargo_config=config, **WITH_ZIG), rustup)
    assert env["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"] == "/t/aarch64-unknown-linux-gnu-link-cc"
    in_file = cargo_config.resolve(
        [(FILE, {"env": {"CC_aarch64_unknown_linux_gnu": "mine-cc", "LDFLAGS": "-s"}})], {}, Path("/w")
    )
    env, _ = environment(machine(tools=["aarch64-linux-gnu-gcc"], cargo_config=in_file), rustup, backend="gcc")
    assert "CC_aarch64_unknown_linux_gnu" not in env and env["CXX_aarch64_unknown_linux_gnu"]
    env, _ = environment(machine(cargo_config=in_file, **WITH_ZIG), rustup)
    assert env["LDFLAGS"] == "-s -Wl,--undefined-version"


def test_zig_compiles_for_the_host_too_if_there_is_no_other_compiler(machine, rustup):
    env, scripts = environment(machine(path=("/bin",), **WITH_ZIG), rustup, AMD64)
    assert env["PATH"] == "/bin:/t/host"
    texts = {str(script.path): script.text for script in scripts if script.path.parent.name == "host"}
    assert sorted(texts) == ["/t/host/ar", "/t/host/c++", "/t/host/cc", "/t/host/ranlib"]
    assert texts["/t/host/cc"] == '#!/bin/sh\nexec /v/bin/cargo-zigbuild zig cc -- "$@"\n'


def test_rustflags_are_set_only_without_what_cannot_be_for_the_target(machine, rustup):
    for target in TARGETS.values():
        env, _ = environment(machine(**WITH_ZIG), rustup, target)
        assert not [key for key in env if "RUSTFLAGS" in key]
    own = {"RUSTFLAGS": "-C target-cpu=native --cfg x"}
    host = machine(env=own, cargo_config=cargo_config.resolve([], own, Path("/w")), toolchains=(rustup,), **WITH_ZIG)
    assert environment(host, rustup)[0]["CARGO_ENCODED_RUSTFLAGS"] == "--cfg\x1fx"
    assert "CARGO_ENCODED_RUSTFLAGS" not in environment(host, rustup, AMD64)[0]


def test_build_scripts_are_linked_with_what_is_there_if_a_preference_is_not(machine, rustup):
    variable = f"CARGO_TARGET_{HOST.upper()}_LINKER"

    def linker(name, target=ARM64, tools=("cc",), **more):
        config = cargo_config.resolve([(FILE, {"target": {rustup.host: {"linker": name}}})], {}, Path("/w"))
        host = machine(tools=tools, cargo_config=config, toolchains=(rustup,), **WITH_ZIG, **more)
        return environment(host, rustup, target)[0].get(variable)

    assert linker("clang") == "/usr/bin/cc"
    assert linker("clang", tools=(), path=("/bin",)) == "cc"  # zig's
    assert linker("clang", tools=("cc", "clang")) is None and linker("/opt/clang") is None
    assert linker("clang", AMD64) == "/t/x86_64-unknown-linux-gnu-link-cc"  # the target's


HOST, FILE = "x86_64_unknown_linux_gnu", Path("/w/.cargo/config.toml")


def test_pkg_config_of_the_target_does_not_find_this_machine_s_libraries(machine, rustup):
    env = {"PKG_CONFIG_PATH": "/own", "TARGET_PKG_CONFIG_PATH": "/a b"}
    _, scripts = environment(machine(tools=["pkg-config"], env=env, **WITH_ZIG), rustup)
    (text,) = (script.text for script in scripts if script.path.name == "aarch64-unknown-linux-gnu-pkg-config")
    assert text == (
        '#!/bin/sh\n[ "$TARGET" = x86_64-unknown-linux-gnu ] && exec /usr/bin/pkg-config "$@"\n'
        "exec env PKG_CONFIG_LIBDIR=/nonexistent 'PKG_CONFIG_PATH=/a b' /usr/bin/pkg-config \"$@\"\n"
    )


# --- the name of the target directory ---------------------------------------------------------------------------------

LOCKS = {
    "C": 'name = "cc"\n',
    "bindgen": 'name = "bindgen"\nname = "clang-sys"\n',
    "neither": 'name = "serde"\n',
    "both": 'name = "cmake"\nname = "clang-sys"\n',
    "unknown": "",
}


@pytest.mark.parametrize(
    ("lock", "used"),
    [("C", {"C compiler"}), ("bindgen", {"libclang"}), ("neither", set()), ("both", environments.EVERYTHING),
     ("unknown", environments.EVERYTHING)],
)  # fmt: skip
def test_a_lock_file_tells_what_builds_may_use(lock, used):
    assert environments.uses(LOCKS[lock]) == used


@pytest.mark.parametrize(
    ("lock", "libclang", "compiler"),
    [("neither", True, True), ("C", True, False), ("bindgen", False, True), ("unknown", False, False)],
)
def test_a_tool_that_is_installed_later_changes_the_directory_only_if_something_uses_it(
    machine, lock, libclang, compiler
):
    def fingerprint(**facts):
        host = machine(**WITH_ZIG, **facts)
        return environments.fingerprint(host, choose(host), environments.uses(LOCKS[lock]))

    before = fingerprint()
    assert (fingerprint(libclang=Path("/wheel")) == before, fingerprint(tools=["clang", "gcc-ar"]) == before) == (
        libclang,
        compiler,
    )
    assert fingerprint(tools=["cmake", "protoc", "perl"]) == before
    # What is set in a variable is on purpose.
    assert fingerprint(env={"HOST_CC": "clang"}) != before != fingerprint(env={"LDFLAGS": "-s"})


def test_plain_names_stay_as_they_are_on_the_native_arch(machine, rustup):
    env, scripts = environment(machine(tools=["cc"], **WITH_ZIG), rustup, AMD64)
    assert "CC" not in env and [script.path.name for script in scripts] == ["x86_64-unknown-linux-gnu-link-cc"]


def test_gcc_sets_every_tool_and_configures_cmake_and_bindgen_for_the_target(machine, rustup):
    host = machine(tools=["aarch64-linux-gnu-gcc", "cc"])
    env, _ = environment(host, rustup, backend="gcc")
    gcc = "/usr/bin/aarch64-linux-gnu-"
    expected = {
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": f"{gcc}gcc", "CC_aarch64_unknown_linux_gnu": f"{gcc}gcc",
        "CXX_aarch64_unknown_linux_gnu": f"{gcc}g++", "AR_aarch64_unknown_linux_gnu": f"{gcc}ar",
        "CMAKE_TOOLCHAIN_FILE_aarch64_unknown_linux_gnu": "/t/toolchain.cmake", "CC": "/t/aarch64-unknown-linux-gnu-cc",
    }  # fmt: skip
    assert expected.items() <= env.items()


def test_cmake_compiles_with_what_stands_for_gcc_and_not_with_a_command_line_of_the_user(machine, rustup):
    def programs(**env):
        host = machine(tools=["aarch64-linux-gnu-gcc", "cc"], env=env)
        _, scripts = environment(host, rustup, backend="gcc")
        cmake = next(script.text for script in scripts if script.path.name == "toolchain.cmake")
        expected = CMAKE.format(programs="PROGRAMS", roots='"/usr/aarch64-linux-gnu"', mode="ONLY").split("PROGRAMS")
        assert cmake.startswith(expected[0]) and cmake.endswith(expected[1])
        return [line.split()[1].rstrip(")") for line in cmake.splitlines() if "_COMPILER " in line]

    assert programs() == ["$ENV{CC_aarch64_unknown_linux_gnu}", "$ENV{CXX_aarch64_unknown_linux_gnu}"]
    own = {"CC_aarch64_unknown_linux_gnu": "ccache aarch64-linux-gnu-gcc"}
    assert programs(**own) == ["/usr/bin/aarch64-linux-gnu-gcc", "$ENV{CXX_aarch64_unknown_linux_gnu}"]


def test_cmake_and_gcc_s_linker_search_the_sysroot(machine, rustup):
    def texts(backend, **env):
        tools = ["aarch64-linux-gnu-gcc", "cc"]
        host = machine(tools=tools, env=env, sysroots={"arm64": sysroot()}, toolchains=(rustup,), **WITH_ZIG)
        found, scripts = environment(host, rustup, backend=backend)
        files = {str(script.path): script.text for script in scripts}
        names = ("CMAKE_TOOLCHAIN_FILE_aarch64_unknown_linux_gnu", "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER")
        return [files.get(found.get(name, "")) for name in names]

    tools = {"C_COMPILER": "CC", "CXX_COMPILER": "CXX", "AR": "AR", "RANLIB": "RANLIB"}
    programs = [f"set(CMAKE_{name} $ENV{{{tool}_aarch64_unknown_linux_gnu}})\n" for name, tool in tools.items()]
    programs += [f"set(CMAKE_{language}_LINKER_DEPFILE_SUPPORTED FALSE)\n" for language in ("C", "CXX")]
    search = "-L/s/usr/lib/aarch64-linux-gnu"
    cmake, link = texts("zig")
    assert cmake == CMAKE.format(programs="".join(programs), roots='"/s"', mode="BOTH")
    assert link.endswith(f'/linker.py "$CC_aarch64_unknown_linux_gnu" {search} "$@"\n')
    cmake, link = texts("gcc")
    assert 'set(CMAKE_FIND_ROOT_PATH "/s" "/usr/aarch64-linux-gnu")\n' in cmake
    assert link == f'#!/bin/sh\nexec /usr/bin/aarch64-linux-gnu-gcc {search} "$@" -Wl,-rpath-link,/s/shared\n'
    # The user's own is used.
    for name in (
        "CMAKE_TOOLCHAIN_FILE",
        "TARGET_CMAKE_TOOLCHAIN_FILE",
        "CMAKE_TOOLCHAIN_FILE_aarch64_unknown_linux_gnu",
    ):
        assert texts("zig", **{name: "/own"})[0] is None


@pytest.mark.processes
def test_plain_cc_compiles_for_the_target_and_for_the_host_in_build_dependencies(machine, rustup, tmp_path):
    """Runs the script itself with the variables that cargo sets."""
    for name in ("host cc", "target cc"):
        tool = tmp_path / name
        tool.write_text(f'#!/bin/sh\necho "{name}: $*"\n')
        tool.chmod(0o755)
    host = machine(env={"HOST_CC": f"'{tmp_path}/host cc'"}, **WITH_ZIG)
    _, scripts = environment(host, rustup, tools=tmp_path)
    script = next(script for script in scripts if script.path.name == "aarch64-unknown-linux-gnu-cc")
    assert isinstance(script, Write)
    script.path.write_text(script.text)

    def output_for(target):
        env = {**os.environ, "TARGET": target, "CC_aarch64_unknown_linux_gnu": f"{tmp_path}/target cc"}
        return subprocess.run(
            ["sh", script.path, "-c", "a b.c"], env=env, capture_output=True, text=True, check=True
        ).stdout

    assert output_for("aarch64-unknown-linux-gnu") == "target cc: -c a b.c\n"
    assert output_for("x86_64-unknown-linux-gnu") == "host cc: -c a b.c\n"


HEADERS = "-isystem /s/usr/include/aarch64-linux-gnu -isystem /s/usr/include"
FLAGS = (
    "CFLAGS_aarch64_unknown_linux_gnu",
    "CXXFLAGS_aarch64_unknown_linux_gnu",
    "BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu",
)


def with_sysroot(machine, rustup, env=(), **flags):
    host = machine(tools=["pkg-config"], env=dict(env), sysroots={"arm64": sysroot()}, toolchains=(rustup,), **WITH_ZIG)
    return environment(host, rustup, **flags)


def test_crates_find_the_libraries_of_a_sysroot(machine, rustup):
    env, scripts = with_sysroot(machine, rustup)
    assert {name: env[name] for name in FLAGS} == dict.fromkeys(FLAGS, HEADERS)
    assert env["PKG_CONFIG_SYSROOT_DIR_aarch64_unknown_linux_gnu"] == "/s"
    folders = "/s/usr/lib/aarch64-linux-gnu/pkgconfig:/s/usr/share/pkgconfig"
    assert env["PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu"] == folders
    texts = {script.path.name: script.text for script in scripts}
    assert texts["aarch64-unknown-linux-gnu-cc"].endswith(f'exec "$CC_aarch64_unknown_linux_gnu" {HEADERS} "$@"\n')
    assert texts["aarch64-unknown-linux-gnu-ar"].endswith('exec "$AR_aarch64_unknown_linux_gnu" "$@"\n')
    plain = f"PKG_CONFIG_SYSROOT_DIR=/s PKG_CONFIG_LIBDIR={folders} /usr/bin/pkg-config"
    assert texts["aarch64-unknown-linux-gnu-pkg-config"].endswith(f'exec env {plain} "$@"\n')


def test_flags_of_the_user_stay_in_front_of_those_of_a_sysroot(machine, rustup):
    own = {
        "CFLAGS": "-O1", "CXXFLAGS_aarch64-unknown-linux-gnu": "-O2", "BINDGEN_EXTRA_CLANG_ARGS": "-DX",
        "PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu": "/own",
    }  # fmt: skip
    env, _ = with_sysroot(machine, rustup, own)
    assert env["CFLAGS_aarch64_unknown_linux_gnu"] == f"-O1 {HEADERS}"
    assert env["CXXFLAGS_aarch64-unknown-linux-gnu"] == f"-O2 {HEADERS}"
    assert env["BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu"] == f"-DX {HEADERS}"
    # Who sets up pkg-config for the target has it for all of its libraries.
    assert (
        not [name for name in env if name.startswith("PKG_CONFIG_")] and "CXXFLAGS_aarch64_unknown_linux_gnu" not in env
    )


def test_other_packages_in_a_sysroot_are_another_target_directory(machine, rustup):
    host, backend = machine(**WITH_ZIG), choose(machine(**WITH_ZIG))
    prints = [
        environments.fingerprint(host, backend, (), found)
        for found in (
            None,
            sysroot(),
            sysroot(root="/other"),
            sysroot(packages={"libssl3": "3.0-2"}),
            sysroot(suite="trixie"),
        )
    ]
    assert prints[1] == prints[2] and len(set(prints)) == 4
