import json
from pathlib import Path

import pytest
from machines import AMD64, ARM64, WITH_ZIG, choose, settings, sysroot, workspace

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Link, Write
from buildlib.core.request import NO_REQUEST, Request
from buildlib.emulation.binfmt import magic
from buildlib.emulation.launcher import launcher
from buildlib.machine.workspace import Component
from buildlib.rust.cargo import Toolset
from buildlib.rust.std import Compiler
from buildlib.testing import cargo_test
from buildlib.testing.cargo_test import TestOptions

APP = Component(name="app", package="pack", version="1.0.0")
WORKSPACE = workspace(APP)
QEMU = ("/usr/bin/qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu")
RUNNER = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER"
HOST_RUNNER = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"


def toolset(host, toolchain, target, std=None, **flags):
    backend = choose(host, target, **flags)
    compiler = Compiler(toolchain=toolchain, sysroot=std) if backend.local else None
    return Toolset(target=target, backend=backend, compiler=compiler)


def planned(host, toolchain, target=ARM64, *, rest=(), emulator=QEMU, std=None, workspace=WORKSPACE, **flags):
    tools = toolset(host, toolchain, target, std, **flags)
    return cargo_test.test_plan(
        host, settings(**flags), workspace, tools, emulator, TestOptions(timeout=60.0, request=Request(rest=rest))
    )


def written(tests):
    return {action.path.name: action.text for action in tests.scripts if isinstance(action, Write)}


def test_the_whole_command_lines_of_a_test_run(machine, rustup):
    tests = planned(machine(**WITH_ZIG), rustup, rest=("-p", "app", "crc", "--", "--nocapture"))
    folder = str(tests.record.parents[1])
    line = (
        "/v/bin/cargo-zigbuild", "test", "--target", "aarch64-unknown-linux-gnu.2.31", "--target-dir", folder, "-p", "app", "crc",
    )  # fmt: skip
    assert tests.compile.argv == (*line, "--no-run", "--message-format", "json-render-diagnostics")
    assert tests.run.argv == (*line, "--no-fail-fast", "--", "--nocapture")
    assert tests.probe.argv == (
        "/v/bin/cargo-zigbuild", "run", "--quiet", "--manifest-path", f"{folder}/tools/probe/Cargo.toml",
        "--target", "aarch64-unknown-linux-gnu.2.31", "--target-dir", folder,
    )  # fmt: skip
    assert {step.env[RUNNER] for step in (tests.compile, tests.run, tests.probe)} == {f"{folder}/tools/runner"}
    assert tests.probe_program == Path(folder, "aarch64-unknown-linux-gnu", "debug", "buildlib-probe")
    assert 'name = "buildlib-probe"' in written(tests)["Cargo.toml"]
    tools = f"{folder}/tools"
    assert json.loads(written(tests)["runner.json"]) == {
        "emulator": ["/usr/bin/qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"], "emulated_arch": "arm64", "timeout": 60.0,
        "record": f"{tools}/record.jsonl", "ran_on": "", "libraries": "",
        "children": {
            "way": "", "handlers": [], "launcher": launcher("x86_64").hex(), "magic": magic(ARM64)[0].hex(),
            "mask": magic(ARM64)[1].hex(), "folder": tools, "programs": f"{folder}/aarch64-unknown-linux-gnu",
        },
    }  # fmt: skip
    # Not through a shell, which would drop variables such as CARGO_BIN_EXE_cli-command.
    assert written(tests)["runner"].startswith(f"#!{tools}/python -IS\n")
    assert {action.to for action in tests.scripts if isinstance(action, Link)} == {Path("/py")}


def test_what_cargo_compiles_for_the_host_runs_there(machine, rustup):
    """Unit tests of proc macros: with the timeout of the settings, which is that of a test without emulation."""
    tests = planned(machine(**WITH_ZIG), rustup)
    folder = tests.record.parent
    assert {step.env[HOST_RUNNER] for step in (tests.compile, tests.run)} == {f"{folder}/host-runner"}
    assert json.loads(written(tests)["host-runner.json"]) == {
        "emulator": [], "emulated_arch": "", "timeout": settings().test.timeout, "record": f"{folder}/record.jsonl",
        "ran_on": "host", "libraries": "", "children": None,
    }  # fmt: skip
    assert f"{folder}/host-runner.json" in written(tests)["host-runner"]


@pytest.mark.parametrize(
    ("target", "emulator", "libraries"), [(ARM64, (), "/s/shared"), (ARM64, QEMU, ""), (AMD64, (), "")]
)
def test_tests_that_are_not_emulated_load_the_libraries_of_their_sysroot(machine, rustup, target, emulator, libraries):
    host = machine(**WITH_ZIG, sysroots={"arm64": sysroot()})
    tests = planned(host, rustup, target, emulator=emulator)
    assert json.loads(written(tests)["runner.json"])["libraries"] == libraries


@pytest.mark.parametrize("facts", [{"env": {HOST_RUNNER: "mine"}}, {"runners": frozenset({AMD64.triple})}])
def test_a_host_s_runner_that_the_user_has_configured_is_used(machine, rustup, facts):
    tests = planned(machine(**WITH_ZIG, **facts), rustup)
    assert HOST_RUNNER not in tests.run.env and "host-runner" not in written(tests)


@pytest.mark.parametrize("rest", [("--no-run",), ("-p", "a", "--no-run", "--", "x")])
def test_tests_can_be_compiled_alone(machine, rustup, rest):
    tests = planned(machine(**WITH_ZIG), rustup, rest=rest)
    assert (tests.compiles_only, tests.compile.argv.count("--no-run")) == (True, 1)
    assert not planned(machine(**WITH_ZIG), rustup, rest=("--", "--no-run")).compiles_only


@pytest.mark.parametrize(
    ("rest", "workspace_flags"),
    [
        ((), 1), (("crc",), 1), (("--lib", "--", "-p"), 1),
        (("-p", "a"), 0), (("-pa",), 0), (("--package=a",), 0), (("--workspace", "--exclude", "a"), 1),
        (("--manifest-path", "x/Cargo.toml"), 0),
    ],
)  # fmt: skip
def test_the_whole_workspace_is_tested_unless_the_words_name_packages(machine, rustup, rest, workspace_flags):
    tests = planned(machine(**WITH_ZIG), rustup, rest=rest)
    assert tests.run.argv[4:].count("--workspace") == workspace_flags


def test_doc_tests_alone_are_compiled_when_they_run(machine, rustup):
    assert planned(machine(**WITH_ZIG), rustup, rest=("--doc",)).compile is None


def test_nothing_is_emulated_on_the_native_arch(machine, rustup):
    tests = planned(machine(tools=["cc"], **WITH_ZIG), rustup, target=AMD64, emulator=())
    spec = json.loads(written(tests)["runner.json"])
    assert (spec["emulator"], spec["emulated_arch"], spec["children"]) == ([], "", None)
    assert "host-runner" not in written(tests)


@pytest.mark.parametrize("facts", [{"env": {RUNNER: "mine"}}, {"runners": frozenset({ARM64.triple})}])
def test_a_runner_that_the_user_has_configured_is_used(machine, rustup, facts):
    tests = planned(machine(**WITH_ZIG, **facts), rustup)
    assert tests.record is None and RUNNER not in tests.run.env and "runner" not in written(tests)


def test_cross_starts_tests_by_itself(machine, rustup):
    tests = planned(machine(tools=["cross"]), rustup, backend="cross", emulator=())
    assert (tests.record, tests.run.argv[:2]) == (None, ("/usr/bin/cross", "test"))


def test_rustdoc_uses_the_same_std_as_rustc(machine, rustup):
    tests = planned(machine(**WITH_ZIG), rustup, std=Path("/cache/std"))
    rustdoc = str(rustup.rustc.with_name("rustdoc"))
    assert written(tests)["rustdoc"] == f'#!/bin/sh\nexec {rustdoc} --sysroot /cache/std "$@"\n'
    assert tests.run.env["RUSTDOC"].endswith("/tools/rustdoc")
    assert "RUSTDOC" not in planned(machine(**WITH_ZIG), rustup).run.env


def test_the_path_of_a_runner_is_short_and_has_no_space(machine, rustup):
    spaced = workspace(root=Path("/my w"))
    tests = planned(machine(**WITH_ZIG), rustup, workspace=spaced)
    assert tests.run.env[RUNNER].startswith("/cache/test_runner/zig-")
    cache = Path("/" + "c" * 250)
    with pytest.raises(MissingRequirements) as caught:
        planned(machine(cache=cache, **WITH_ZIG), rustup, workspace=spaced)
    assert caught.value.message.startswith(f"{cache}/test_runner/zig-")
    assert caught.value.message.endswith(": path too long or with a space, so that cargo cannot start tests through it")


def test_the_whole_command_line_of_benchmarks(machine, rustup):
    host = machine(**WITH_ZIG)
    plan = cargo_test.bench_plan(host, settings(features=["a"]), WORKSPACE, NO_REQUEST, toolset(host, rustup, ARM64))
    folder = plan.compile.argv[plan.compile.argv.index("--target-dir") + 1]
    assert plan.target == ARM64
    assert plan.compile.argv == (
        "/v/bin/cargo-zigbuild", "test", "--benches", "--profile", "bench", "--target", "aarch64-unknown-linux-gnu.2.31",
        "--workspace", "--features", "a", "--target-dir", folder, "--no-run", "--message-format", "json-render-diagnostics",
    )  # fmt: skip
