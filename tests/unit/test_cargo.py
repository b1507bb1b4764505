import os
import subprocess
from pathlib import Path

import pytest

from buildlib import cargo, config
from buildlib.cargo import Backend
from buildlib.errors import Lacking
from buildlib.plan import Step, Write
from buildlib.targets import TARGETS
from buildlib.toolchain import Chosen
from buildlib.workspace import Component, Workspace

ARM64, AMD64, MUSL = TARGETS["arm64"], TARGETS["amd64"], TARGETS["arm64-musl"]
APP, TOOL = (Component(name=name, package="pack", version="1.0.0") for name in ("app", "tool"))
WORKSPACE = Workspace(root=Path("/w"), target_dir=Path("/w/target"), components=(APP, TOOL))
WITH_ZIG = {"zig": Path("/zig/zig"), "zig_version": "0.17.1", "zigbuild": Path("/v/bin/cargo-zigbuild")}


def settings(**flags):
    return config.resolve(("flag", flags))


def pick(host, target=ARM64, libc="", **flags):
    return cargo.pick_backend(host, settings(**flags), target, lambda _: libc)


# --- which backend ----------------------------------------------------------------------------------------


def test_auto_takes_zig_then_gcc_and_says_why(machine):
    zig = machine(tools=["aarch64-linux-gnu-gcc"], **WITH_ZIG)
    assert pick(zig) == Backend(name="zig", why="needs no cross compiler", floor="2.31")
    gcc = machine(tools=["aarch64-linux-gnu-gcc"])
    path = "/usr/bin/aarch64-linux-gnu-gcc"
    assert pick(gcc, libc="2.36") == Backend(name="gcc", why=f"{path} is here", floor="2.36", gcc=path)


def test_the_workspace_s_own_linker_stays_where_it_is_there(machine):
    linkers = {ARM64.triple: "my-ld"}
    absent = pick(machine(linkers=linkers, **WITH_ZIG))
    assert (absent.name, absent.why) == ("zig", "the workspace's linker my-ld is not here")
    backend = pick(machine(tools=["my-ld"], linkers=linkers, **WITH_ZIG))
    assert (backend.name, backend.why, backend.linker) == ("gcc", "the workspace links with my-ld", "my-ld")


def test_the_floor_is_what_was_set_else_the_row_s(machine):
    host = machine(**WITH_ZIG)
    assert pick(host, glibc="2.28").floor == "2.28"
    assert pick(host, TARGETS["loong64"]).floor == pick(host, TARGETS["loong64"], glibc="2.28").floor == "2.36"
    assert pick(host, TARGETS["ppc64le"], glibc="2.28").floor == "2.32"
    assert pick(host, MUSL, glibc="2.28").floor == ""


def test_nothing_that_links_is_one_error(machine):
    with pytest.raises(Lacking) as caught:
        pick(machine())
    assert caught.value.cure == "pip install ziglang cargo-zigbuild"


def test_what_was_asked_for_is_taken(machine):
    assert pick(machine(**WITH_ZIG), backend="gcc").why == "it was asked for"
    assert pick(machine(**WITH_ZIG), backend="cross").name == "cross"


# --- the line ---------------------------------------------------------------------------------------------


def compiled(host, toolchain, target=ARM64, components=(APP, TOOL), **flags):
    chosen = Chosen(toolchain=toolchain)
    made = settings(**flags)
    return cargo.build(host, made, WORKSPACE, target, pick(host, target, **flags), chosen, components)


def step_of(build):
    return next(step for step in build.job.steps if isinstance(step, Step))


def test_the_zig_line_as_a_whole(machine, rustup):
    build = compiled(machine(tools=["cc", "c++", "ar", "ranlib"], **WITH_ZIG), rustup)
    folder = build.folder.parents[1]
    assert folder.name.startswith("zig-2.31-1.95.0-59807616e-")
    assert build.folder == folder / "aarch64-unknown-linux-gnu" / "release"
    step = step_of(build)
    assert step.argv == (
        "/v/bin/cargo-zigbuild", "build", "--target", "aarch64-unknown-linux-gnu.2.31", "--profile", "release",
        "--workspace", "--bins", "--target-dir", str(folder), "--message-format", "json-render-diagnostics",
    )  # fmt: skip
    tools = folder / "tools" / "arm64"
    assert step.env == {
        "PATH": "", "CARGO": str(rustup.cargo), "RUSTC": str(rustup.rustc),
        "CARGO_ZIGBUILD_ZIG_COMMAND": "/zig/zig", "CARGO_ZIGBUILD_CACHE_DIR": "/cache/zigbuild/2.31",
        "ZIG_GLOBAL_CACHE_DIR": "/cache/zig", "LDFLAGS": "-Wl,--undefined-version",
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": f"{tools}/aarch64-unknown-linux-gnu-link-cc",
        "CC": f"{tools}/aarch64-unknown-linux-gnu-cc", "HOST_CC": "/usr/bin/cc", "CC_x86_64_unknown_linux_gnu": "/usr/bin/cc",
        "CXX": f"{tools}/aarch64-unknown-linux-gnu-c++", "HOST_CXX": "/usr/bin/c++",
        "CXX_x86_64_unknown_linux_gnu": "/usr/bin/c++",
        "AR": f"{tools}/aarch64-unknown-linux-gnu-ar", "HOST_AR": "/usr/bin/ar", "AR_x86_64_unknown_linux_gnu": "/usr/bin/ar",
        "RANLIB": f"{tools}/aarch64-unknown-linux-gnu-ranlib", "HOST_RANLIB": "/usr/bin/ranlib",
        "RANLIB_x86_64_unknown_linux_gnu": "/usr/bin/ranlib",
    }  # fmt: skip


def test_one_component_and_features_and_another_profile(machine, rustup):
    build = compiled(machine(**WITH_ZIG), rustup, components=(TOOL,), profile="dev", features=["a", "b"])
    assert step_of(build).argv[4:] == (
        "--profile", "dev", "--package", "pack", "--bin", "tool", "--features", "a,b",
        "--target-dir", str(build.folder.parents[1]), "--message-format", "json-render-diagnostics",
    )  # fmt: skip
    assert build.folder.name == "debug"


def test_no_word_is_ever_empty(machine, rustup):
    for name in TARGETS:
        assert all(step_of(compiled(machine(**WITH_ZIG), rustup, TARGETS[name])).argv)


def test_musl_and_gnu_share_a_folder_but_floors_and_compilers_do_not(machine, rustup, system):
    host = machine(**WITH_ZIG)
    folders = [
        compiled(host, rustup).folder.parents[1],
        compiled(host, rustup, MUSL).folder.parents[1],
        compiled(host, rustup, glibc="2.28").folder.parents[1],
        compiled(host, system).folder.parents[1],
        compiled(machine(env={"LDFLAGS": "-s"}, **WITH_ZIG), rustup).folder.parents[1],
    ]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 4


# --- the environment --------------------------------------------------------------------------------------


def environment(host, toolchain, target=ARM64, tools=Path("/t"), **flags):
    return cargo.environment(host, target, pick(host, target, **flags), Chosen(toolchain=toolchain), tools)


def test_what_the_user_set_for_the_host_is_kept_for_the_host(machine, rustup):
    env, _ = environment(machine(env={"CC": "ccache clang", "HOST_CXX": "clang++"}, **WITH_ZIG), rustup)
    assert (env["CC_x86_64_unknown_linux_gnu"], env["HOST_CC"]) == ("ccache clang", "ccache clang")
    assert "HOST_CXX" not in env  # it stands already
    assert env["CXX_x86_64_unknown_linux_gnu"] == "clang++"
    assert env["CC"] == "/t/aarch64-unknown-linux-gnu-cc"


def test_what_the_user_set_for_the_target_stays(machine, rustup):
    own = {"CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": "mine", "CC_aarch64_unknown_linux_gnu": "mine-cc"}
    env, _ = environment(machine(env=own, **WITH_ZIG), rustup, backend="zig")
    assert set(own).isdisjoint(env)


def test_never_rustflags(machine, rustup):
    for name in TARGETS:
        env, _ = environment(machine(**WITH_ZIG), rustup, TARGETS[name])
        assert not [key for key in env if "RUSTFLAGS" in key]


def test_the_native_arch_has_no_other_compiler_to_name(machine, rustup):
    env, scripts = environment(machine(tools=["cc"], **WITH_ZIG), rustup, AMD64)
    assert "CC" not in env and [script.path.name for script in scripts] == ["x86_64-unknown-linux-gnu-link-cc"]


def test_gcc_names_every_tool_and_lets_cmake_and_bindgen_find_the_target(machine, rustup):
    host = machine(tools=["aarch64-linux-gnu-gcc", "cc"])
    env, scripts = environment(host, rustup, backend="gcc")
    gcc = "/usr/bin/aarch64-linux-gnu-"
    wanted = {
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": f"{gcc}gcc", "CC_aarch64_unknown_linux_gnu": f"{gcc}gcc",
        "CXX_aarch64_unknown_linux_gnu": f"{gcc}g++", "AR_aarch64_unknown_linux_gnu": f"{gcc}ar",
        "CMAKE_TOOLCHAIN_FILE_aarch64_unknown_linux_gnu": "/t/toolchain.cmake", "CC": "/t/aarch64-unknown-linux-gnu-cc",
    }  # fmt: skip
    assert wanted.items() <= env.items()
    cmake = next(script.text for script in scripts if script.path.name == "toolchain.cmake")
    assert "set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)" in cmake


@pytest.mark.processes
def test_plain_cc_is_the_target_s_but_the_host_s_for_build_dependencies(machine, rustup, tmp_path):
    """The script itself, run with what cargo sets."""
    for name in ("host cc", "target cc"):
        tool = tmp_path / name
        tool.write_text(f'#!/bin/sh\necho "{name}: $*"\n')
        tool.chmod(0o755)
    host = machine(env={"HOST_CC": f"'{tmp_path}/host cc'"}, **WITH_ZIG)
    _, scripts = environment(host, rustup, tools=tmp_path)
    script = next(script for script in scripts if script.path.name == "aarch64-unknown-linux-gnu-cc")
    assert isinstance(script, Write)
    script.path.write_text(script.text)

    def said(target):
        env = {**os.environ, "TARGET": target, "CC_aarch64_unknown_linux_gnu": f"{tmp_path}/target cc"}
        return subprocess.run(
            ["sh", script.path, "-c", "a b.c"], env=env, capture_output=True, text=True, check=True
        ).stdout

    assert said("aarch64-unknown-linux-gnu") == "target cc: -c a b.c\n"
    assert said("x86_64-unknown-linux-gnu") == "host cc: -c a b.c\n"
