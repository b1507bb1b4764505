"""The build scripts of a build: the question for the unit graph, its answer, and its cache."""

import json
from dataclasses import replace

import machines
import pytest
from machines import ARM64, Recorder, context

from buildlib.core.errors import NetworkError
from buildlib.core.request import Request
from buildlib.core.targets import TARGETS
from buildlib.crates import graph
from buildlib.crates.graph import Script
from buildlib.machine.workspace import Component

RISCV64, HOST = TARGETS["riscv64"], "x86_64-unknown-linux-gnu"


def unit(name, kind="lib", *deps, on=None, mode="build", features=(), version="1.0.0", path="/c/src/lib.rs"):
    """A unit of the graph; `on` is the target's triple, None for this machine, `deps` are indices."""
    return {
        "pkg_id": f"registry+https://x#{name}@{version}", "target": {"kind": [kind], "src_path": path}, "platform": on, "mode": mode,
        "features": list(features), "dependencies": [{"index": index} for index in deps],
    }  # fmt: skip


# An app whose build script compiles protocols, and which links OpenSSL; a macro of it links a vendored OpenSSL on this machine.
GRAPH = {
    "version": 1,
    "units": [
        unit("app", "bin", 1, 5, 9, on=ARM64.triple),
        unit("app", "custom-build", 2, on=ARM64.triple, mode="run-custom-build"),
        unit("app", "custom-build", 3),
        unit("tonic-build", "lib", 4),
        unit("prost-build", "lib", 12, version="0.14.6"),
        unit("openssl-sys", "lib", 6, on=ARM64.triple),
        unit("openssl-sys", "custom-build", 7, on=ARM64.triple, mode="run-custom-build"),
        unit("openssl-sys", "custom-build", 8),
        unit("pkg-config"),
        unit("macros", "proc-macro", 10, 12),
        unit("openssl-sys", "lib", 11),
        unit("openssl-sys", "custom-build", 13, features=["vendored"], mode="run-custom-build"),
        unit("derive", "proc-macro", 8),
        unit("openssl-sys", "custom-build", 8, 14, features=["vendored"]),
        unit("openssl-src", version="300.6.1+3.6.3"),
    ],
    "roots": [0],
}
SCRIPTS = (
    Script(package="app", version="1.0.0", for_host=False, crates={"prost-build": "0.14.6", "tonic-build": "1.0.0"}),
    Script(package="openssl-sys", version="1.0.0", for_host=False, crates={"pkg-config": "1.0.0"}),
    Script(package="macros", version="1.0.0", for_host=True, crates={"openssl-sys": "1.0.0"}),
    Script(package="openssl-sys", version="1.0.0", for_host=True, features=frozenset({"vendored"}),
           crates={"openssl-src": "300.6.1+3.6.3", "pkg-config": "1.0.0"}),
    Script(package="derive", version="1.0.0", for_host=True, crates={"pkg-config": "1.0.0"}),
)  # fmt: skip


def test_what_is_compiled_into_build_scripts_and_macros_for_each_side():
    assert graph.read_units(GRAPH, HOST) == SCRIPTS


def test_the_newest_of_several_versions_counts():
    units = [
        unit("a", "custom-build", 1, mode="run-custom-build"), unit("a", "custom-build", 2, 3),
        unit("prost-build", version="0.9.0"), unit("prost-build", version="0.11.9"),
    ]  # fmt: skip
    (script,) = graph.read_units({"units": units}, HOST)
    assert script.crates == {"prost-build": "0.11.9"}


def test_the_libraries_that_a_package_declares_are_read_from_its_manifest(tmp_path):
    (tmp_path / "Cargo.toml").write_text(
        '[package.metadata.system-deps]\nx11 = "1"\n[package.metadata.system-deps.\'cfg(target_arch = "x86_64")\']\namd = "1"\n'
    )
    build = str(tmp_path / "build.rs")
    units = [
        unit("x11-sys", "custom-build", 1, on=ARM64.triple, mode="run-custom-build", path=build),
        unit("x11-sys", "custom-build", 2, path=build), unit("system-deps"),
        unit("x11-sys", "custom-build", 1, mode="run-custom-build", path=build),
    ]  # fmt: skip
    assert [(s.for_host, s.system_deps) for s in graph.read_units({"units": units}, HOST)] == [
        (False, ("x11",)), (True, ("amd", "x11")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("registry+https://github.com/rust-lang/crates.io-index#serde@1.0.2", ("serde", "1.0.2")),
        ("path+file:///w/app#0.1.0", ("app", "0.1.0")),
        ("path+file:///w/x#app@0.1.0+meta", ("app", "0.1.0+meta")),
        ("git+https://h/o/repo?rev=abc#0.1.0", ("repo", "0.1.0")),
        ("git+https://h/o/repo?rev=abc#name@0.1.0", ("name", "0.1.0")),
        ("serde 1.0.2 (registry+https://github.com/rust-lang/crates.io-index)", ("serde", "1.0.2")),
    ],
)
def test_package_ids_of_new_and_old_versions_of_cargo(text, expected):
    assert graph.package_id(text) == expected


# --- the question ----------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "Cargo.lock").write_text('name = "prost-build"\n')
    (tmp_path / "Cargo.toml").write_text("[package]\n")
    return tmp_path


def test_the_whole_question(machine, rustup, workspace):
    at = context(machine(toolchains=(rustup,)), Recorder(), root=workspace, features=["f"])
    at = replace(at, request=Request(all_features=True, offline=True, rest=("--config", "x=1", "--", "--nocapture")))
    step = graph.question(at, ARM64, tests=True)
    assert step.argv == (
        "/r/toolchains/stable/bin/cargo", "test", "--unit-graph", "-Zunstable-options", "--target", "aarch64-unknown-linux-gnu",
        "--workspace", "--features", "f", "--all-features", "--locked", "--offline", "--config", "x=1",
        "--target-dir", str(workspace / "target/buildlib/unit-graph"),
    )  # fmt: skip
    assert step.env == {
        "RUSTC_BOOTSTRAP": "1", "RUSTC": "/r/toolchains/stable/bin/rustc", "RUSTC_WRAPPER": "", "RUSTC_WORKSPACE_WRAPPER": "",
    }  # fmt: skip
    assert step.quiet and step.stdout == "keep"


def test_a_workspace_without_anything_to_build_has_requirements(machine, rustup, workspace):
    at = context(machine(toolchains=(rustup,)), Recorder(), root=workspace)
    assert graph.question(at, ARM64, tests=False).argv[1:7] == (
        "build", "--unit-graph", "-Zunstable-options", "--target", "aarch64-unknown-linux-gnu", "--workspace",
    )  # fmt: skip
    both = machines.workspace(
        Component(name="x", package="a", version="1"), Component(name="x", package="b", version="1")
    )
    at = replace(at, workspace=replace(both, root=workspace))  # one of two has to be chosen for a build
    assert graph.question(at, ARM64, tests=False).argv[6:7] == ("--workspace",)


def test_the_graph_is_asked_for_once_per_target_until_lock_file_or_manifest_change(machine, rustup, workspace):
    run = Recorder({"crate graph": (0, json.dumps(GRAPH))})
    at = context(machine(toolchains=(rustup,)), run, root=workspace)

    def questions():
        assert graph.scripts(at, ARM64) == SCRIPTS
        graph.scripts(at, RISCV64)
        return len(run.asked)

    assert [questions(), questions()] == [2, 2]
    (workspace / "Cargo.lock").write_text('name = "prost-build"\nname = "other"\n')
    assert questions() == 4
    (workspace / "Cargo.toml").write_text("[package]\n[features]\n")
    assert questions() == 6
    graph.scripts(at, ARM64, tests=True)
    graph.scripts(replace(at, request=Request(no_default_features=True)), ARM64)
    assert len(run.asked) == 8


def test_a_graph_that_needs_a_network_that_is_down_is_a_network_error(machine, rustup, workspace):
    run = Recorder({"crate graph": (101, "error: failed to download\n  Could not resolve host: index")})
    with pytest.raises(NetworkError) as caught:
        graph.scripts(context(machine(toolchains=(rustup,)), run, root=workspace), ARM64)
    assert caught.value.code == 5


def test_what_cargo_cannot_resolve_is_left_to_the_build(machine, rustup, workspace, capsys):
    run = Recorder({"crate graph": (101, "error: the package 'app' does not contain this feature: x")})
    assert graph.scripts(context(machine(toolchains=(rustup,)), run, root=workspace), ARM64) == ()
    assert "does not contain this feature: x" in capsys.readouterr().err
