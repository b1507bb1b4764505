"""Which paths are trimmed, and how the compilers of Rust and C are told."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from machines import AMD64, ARM64, WITH_ZIG, choose

from buildlib.rust import environment as environments
from buildlib.rust import trim
from buildlib.rust.std import Compiler

COMMIT = "/rustc/59807616e1fa"
PRINT = "/usr/bin/printf '%s\\n'"  # in the place of a compiler: prints its arguments, one a line


def trims(host, toolchain, root="/home/me/work"):
    return trim.trims(host, Path(root), Path(root, "target"), toolchain)


def test_what_stands_for_the_paths_of_this_machine(machine, rustup):
    assert trims(machine(env={"HOME": "/home/me"}), rustup) == (
        ("/home/me", "/src/.."), ("/home/me/.cargo", "/cargo"), ("/home/me/work", "/src"), ("/home/me/work/target", "/target"),
        ("/r/toolchains/stable/lib/rustlib/src/rust", COMMIT),
        ("/cache/sysroots/1.95.0-59807616e-std1/lib/rustlib/src/rust", COMMIT),
    )  # fmt: skip


def test_the_sources_of_a_distribution_and_a_relative_cargo_home(machine, system):
    sources = replace(system, sources=Path("/usr/src/rustc-1.96.0/library"))
    found = dict(trims(machine(env={"CARGO_HOME": ".cargo-home"}), sources, "/src"))
    assert found["/w/.cargo-home"] == "/cargo" and found["/usr/src/rustc-1.96.0"] == "/rustc/ac68faa20c58"


@pytest.mark.parametrize("inside", [".cargo", "target/cargo"])
def test_the_innermost_directory_counts(machine, rustup, inside):
    """CI often keeps cargo's home in the workspace; compilers take the last name that fits."""
    found = trims(machine(env={"CARGO_HOME": f"/home/me/work/{inside}"}), rustup)
    fitting = [name for path, name in found if f"/home/me/work/{inside}/registry/src".startswith(f"{path}/")]
    assert fitting[-1] == "/cargo"


@pytest.mark.parametrize(("root", "kept"), [("/work", "/"), ("/usr/app", "/usr"), ("/usr", "/")])
def test_directories_of_the_system_keep_their_names(machine, rustup, root, kept):
    """What is in them has the same path on other machines, and would get another one where the workspace is elsewhere."""
    assert kept not in dict(trims(machine(), rustup, root))


def test_a_c_compiler_reads_up_to_the_first_equals_sign():
    pairs = (("/a=b", "/x"), ("/a b", "/src"))
    assert trim.c_flags(pairs) == "'-ffile-prefix-map=/a b=/src'"
    assert trim.rustc_flags(pairs) == "--remap-path-prefix /a=b=/x --remap-path-prefix '/a b=/src'"


def environment(host, toolchain, target, pairs, **flags):
    backend = choose(host, target, **flags)
    env, scripts = environments.environment(host, target, backend, Compiler(toolchain=toolchain), Path("/t"), pairs)
    return env, {str(script.path): script.text for script in scripts}


def called(text, folder, *words):
    """The words that a script passes on to PRINT."""
    script = folder / "script"
    script.write_text(text)
    return subprocess.run(["sh", script, *words], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.processes
def test_zig_gets_the_flags_when_it_compiles_c_only(machine, rustup, tmp_path):
    env, scripts = environment(machine(**WITH_ZIG), rustup, ARM64, (("/a b", "/src"),))
    text = scripts[env["CARGO_ZIGBUILD_ZIG_COMMAND"]].replace("/zig/zig", PRINT)
    flag = "-ffile-prefix-map=/a b=/src"
    assert called(text, tmp_path, "cc", "-c", "x y.c") == ["cc", flag, "-c", "x y.c"]
    assert called(text, tmp_path, "c++") == ["c++", flag]
    assert called(text, tmp_path, "ar", "cc") == ["ar", "cc"] and called(text, tmp_path, "version") == ["version"]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("words", "own_cache"),
    [
        (["cc", "a.o", "-o", "a"], True),
        (["c++", "a.o", "-Wl,--as-needed", "-o", "a"], True),
        (["cc", "-c", "a.c"], False),
        (["cc", "-E", "a.c"], False),
        (["cc", "a.o", "-Wl,--strip-debug"], False),
        (["cc", "a.o", "-Wl,-x,--strip-all"], False),
        (["cc", "a.o", "-s"], False),
        (["ar", "a.o"], False),
    ],
)
def test_zig_compiles_its_c_library_without_paths_where_it_has_debug_information(
    machine, rustup, tmp_path, words, own_cache
):
    env, scripts = environment(machine(**WITH_ZIG), rustup, ARM64, (("/a", "/src"),))
    shown = "/bin/sh -c 'echo \"$CCC_OVERRIDE_OPTIONS|$ZIG_GLOBAL_CACHE_DIR\"'"
    (found,) = called(scripts[env["CARGO_ZIGBUILD_ZIG_COMMAND"]].replace("/zig/zig", shown), tmp_path, *words)
    options = "# +-fdebug-compilation-dir=/zig +-ffile-prefix-map=/zig=/zig"
    assert found == (f"{options}|/cache/zig-debug" if own_cache else "|")


@pytest.mark.processes
def test_a_cross_compiler_and_this_machine_s_own(machine, rustup, tmp_path):
    host = machine(tools=["aarch64-linux-gnu-gcc", "cc", "c++"])
    env, scripts = environment(host, rustup, ARM64, (("/w", "/src"),), backend="gcc")
    text = scripts[env["CC_aarch64_unknown_linux_gnu"]].replace("/usr/bin/aarch64-linux-gnu-gcc", PRINT)
    assert called(text, tmp_path, "-c", "a.c") == ["-ffile-prefix-map=/w=/src", "-c", "a.c"]
    env, scripts = environment(host, rustup, AMD64, (("/w", "/src"),), backend="gcc")
    text = scripts[env["CXX_x86_64_unknown_linux_gnu"]].replace("/usr/bin/c++", PRINT)
    assert called(text, tmp_path, "a.cc") == ["-ffile-prefix-map=/w=/src", "a.cc"]


def test_a_compiler_that_the_user_names_is_used_as_it_is(machine, rustup):
    own = {"CC_aarch64_unknown_linux_gnu": "mine", "TARGET_CXX": "mine++"}
    env, scripts = environment(
        machine(tools=["aarch64-linux-gnu-gcc"], env=own), rustup, ARM64, (("/w", "/src"),), backend="gcc"
    )
    assert "CC_aarch64_unknown_linux_gnu" not in env and not any("trim" in path for path in scripts)


def test_without_trims_nothing_is_wrapped(machine, rustup):
    env, _ = environment(machine(**WITH_ZIG), rustup, ARM64, ())
    assert (env["RUSTC"], env["CARGO_ZIGBUILD_ZIG_COMMAND"]) == (str(rustup.rustc), "/zig/zig")
