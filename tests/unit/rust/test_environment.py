import os
import subprocess
from pathlib import Path

import pytest
from machines import AMD64, ARM64, WITH_ZIG, choose

from buildlib.core.plan import Write
from buildlib.core.targets import TARGETS
from buildlib.rust import environment as environments
from buildlib.rust.std import Compiler


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
    env, _ = environment(machine(env=own, **WITH_ZIG), rustup, backend="zig")
    assert set(own).isdisjoint(env)


def test_zig_compiles_for_the_host_too_if_there_is_no_other_compiler(machine, rustup):
    env, scripts = environment(machine(path=("/bin",), **WITH_ZIG), rustup, AMD64)
    assert env["PATH"] == "/bin:/t/host"
    texts = {str(script.path): script.text for script in scripts if script.path.parent.name == "host"}
    assert sorted(texts) == ["/t/host/ar", "/t/host/c++", "/t/host/cc", "/t/host/ranlib"]
    assert texts["/t/host/cc"] == '#!/bin/sh\nexec /v/bin/cargo-zigbuild zig cc -- "$@"\n'


def test_rustflags_are_never_set(machine, rustup):
    for target in TARGETS.values():
        env, _ = environment(machine(**WITH_ZIG), rustup, target)
        assert not [key for key in env if "RUSTFLAGS" in key]


def test_plain_names_stay_as_they_are_on_the_native_arch(machine, rustup):
    env, scripts = environment(machine(tools=["cc"], **WITH_ZIG), rustup, AMD64)
    assert "CC" not in env and [script.path.name for script in scripts] == ["x86_64-unknown-linux-gnu-link-cc"]


def test_gcc_sets_every_tool_and_configures_cmake_and_bindgen_for_the_target(machine, rustup):
    host = machine(tools=["aarch64-linux-gnu-gcc", "cc"])
    env, scripts = environment(host, rustup, backend="gcc")
    gcc = "/usr/bin/aarch64-linux-gnu-"
    expected = {
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": f"{gcc}gcc", "CC_aarch64_unknown_linux_gnu": f"{gcc}gcc",
        "CXX_aarch64_unknown_linux_gnu": f"{gcc}g++", "AR_aarch64_unknown_linux_gnu": f"{gcc}ar",
        "CMAKE_TOOLCHAIN_FILE_aarch64_unknown_linux_gnu": "/t/toolchain.cmake", "CC": "/t/aarch64-unknown-linux-gnu-cc",
    }  # fmt: skip
    assert expected.items() <= env.items()
    cmake = next(script.text for script in scripts if script.path.name == "toolchain.cmake")
    assert "set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)" in cmake


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
