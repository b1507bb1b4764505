import hashlib
import json
from pathlib import Path

import pytest
from machines import AMD64, ARM64, MUSL, WITH_ZIG, choose, settings

from buildlib.rust import cargo
from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Link, Step, Write
from buildlib.core.targets import TARGETS
from buildlib.rust.std import Compiler
from buildlib.machine.workspace import Component, Workspace

APP, TOOL = (Component(name=name, package="pack", version="1.0.0") for name in ("app", "tool"))
WORKSPACE = Workspace(root=Path("/w"), target_dir=Path("/w/target"), components=(APP, TOOL))


def compiled(host, toolchain, target=ARM64, components=(APP, TOOL), **flags):
    chosen = Compiler(toolchain=toolchain)
    made = settings(**flags)
    return cargo.build(host, made, WORKSPACE, target, choose(host, target, **flags), chosen, components)


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
    whose = hashlib.sha256(str(tools).encode()).hexdigest()[:8]
    assert step.env == {
        "PATH": "", "CARGO": str(rustup.cargo), "RUSTC": str(rustup.rustc),
        "CARGO_ZIGBUILD_ZIG_COMMAND": "/zig/zig", "CARGO_ZIGBUILD_CACHE_DIR": f"/cache/zigbuild/2.31-{whose}",
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


# --- tests --------------------------------------------------------------------------------------------------------


QEMU = ("/usr/bin/qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu")


def lines(host, toolchain, target=ARM64, rest=(), words=QEMU, sysroot=None, **flags):
    backend = choose(host, target, **flags)
    chosen = None if backend.name == "cross" else Compiler(toolchain=toolchain, sysroot=sysroot)
    return cargo.tests(host, settings(**flags), WORKSPACE, target, backend, chosen, words, 60.0, rest)


RUNNER = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER"


def written(tests):
    return {act.path.name: act.text for act in tests.tools if isinstance(act, Write)}


def test_the_lines_of_a_test_run_as_a_whole(machine, rustup):
    tests = lines(machine(**WITH_ZIG), rustup, rest=("-p", "app", "crc", "--", "--nocapture"))
    folder = str(tests.record.parents[2])
    line = (
        "/v/bin/cargo-zigbuild", "test", "--target", "aarch64-unknown-linux-gnu.2.31", "--target-dir", folder, "-p", "app", "crc",
    )  # fmt: skip
    assert tests.compile.argv == (*line, "--no-run", "--message-format", "json-render-diagnostics")
    assert tests.run.argv == (*line, "--no-fail-fast", "--", "--nocapture")
    assert tests.probe.argv == (
        "/v/bin/cargo-zigbuild", "run", "--quiet", "--manifest-path", f"{folder}/tools/arm64/probe/Cargo.toml",
        "--target", "aarch64-unknown-linux-gnu.2.31", "--target-dir", folder,
    )  # fmt: skip
    assert {step.env[RUNNER] for step in (tests.compile, tests.run, tests.probe)} == {f"{folder}/tools/arm64/runner"}
    assert json.loads(written(tests)["spec.json"]) == {
        "words": ["/usr/bin/qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"], "emulated": "arm64", "patience": 60.0,
        "record": f"{folder}/tools/arm64/record.jsonl",
    }  # fmt: skip
    # Not through a shell, which would drop variables such as CARGO_BIN_EXE_cli-command.
    assert written(tests)["runner"].startswith(f"#!{folder}/tools/arm64/python -IS\n")
    assert [act.to for act in tests.tools if isinstance(act, Link)] == [Path("/py")]


@pytest.mark.parametrize(
    ("rest", "scope"),
    [
        ((), ("--workspace",)), (("crc",), ("--workspace",)), (("--lib", "--", "-p"), ("--workspace",)),
        (("-p", "a"), ()), (("-pa",), ()), (("--package=a",), ()), (("--workspace", "--exclude", "a"), ()),
        (("--manifest-path", "x/Cargo.toml"), ()),
    ],
)  # fmt: skip
def test_all_of_the_workspace_unless_told_otherwise(machine, rustup, rest, scope):
    tests = lines(machine(**WITH_ZIG), rustup, rest=rest)
    assert tests.run.argv[4:].count("--workspace") == (1 if scope or "--workspace" in rest else 0)


def test_doc_tests_alone_are_compiled_when_they_run(machine, rustup):
    assert lines(machine(**WITH_ZIG), rustup, rest=("--doc",)).compile is None


def test_on_its_own_kind_nothing_is_emulated(machine, rustup):
    tests = lines(machine(tools=["cc"], **WITH_ZIG), rustup, target=AMD64, words=())
    told = json.loads(written(tests)["spec.json"])
    assert (told["words"], told["emulated"]) == ([], "")


@pytest.mark.parametrize("facts", [{"env": {RUNNER: "mine"}}, {"runners": frozenset({ARM64.triple})}])
def test_a_runner_of_one_s_own_stays(machine, rustup, facts):
    tests = lines(machine(**WITH_ZIG, **facts), rustup)
    assert tests.record is None and RUNNER not in tests.run.env and "runner" not in written(tests)


def test_cross_starts_tests_by_itself(machine, rustup):
    tests = lines(machine(tools=["cross"]), rustup, backend="cross", words=())
    assert (tests.record, tests.run.argv[:2]) == (None, ("/usr/bin/cross", "test"))


def test_rustdoc_finds_the_std_that_rustc_finds(machine, rustup):
    tests = lines(machine(**WITH_ZIG), rustup, sysroot=Path("/cache/std"))
    rustdoc = str(rustup.rustc.with_name("rustdoc"))
    assert written(tests)["rustdoc"] == f'#!/bin/sh\nexec {rustdoc} --sysroot /cache/std "$@"\n'
    assert tests.run.env["RUSTDOC"].endswith("/tools/arm64/rustdoc")
    assert "RUSTDOC" not in lines(machine(**WITH_ZIG), rustup).run.env


def test_a_runner_s_path_has_no_space_and_is_short(machine, rustup, monkeypatch):
    spaced = Workspace(root=Path("/my w"), target_dir=Path("/my w/target"), components=())
    monkeypatch.setattr("test_cargo.WORKSPACE", spaced)
    assert lines(machine(**WITH_ZIG), rustup).run.env[RUNNER].startswith("/cache/harness/zig-")
    with pytest.raises(MissingRequirements, match="no path for a runner"):
        lines(machine(cache=Path("/" + "c" * 250), **WITH_ZIG), rustup)
