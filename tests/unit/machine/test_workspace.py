import json
from pathlib import Path

import pytest

from buildlib.machine import workspace
from buildlib.core.errors import NothingToDo, UsageError
from buildlib.machine.workspace import Component, Package, Workspace, tools_for


def package(name, depends_on=(), features=()):
    return Package(name=name, features=frozenset(features), depends_on=frozenset(depends_on))


def test_binaries_are_components_and_the_rest_is_not():
    def package(key, version, *targets):
        made = [{"name": name, "kind": [kind]} for name, kind in targets]
        manifest = f"/w/{key}/Cargo.toml"
        return {"id": key, "name": f"p{key}", "version": version, "manifest_path": manifest, "targets": made}

    answer = {
        "workspace_root": "/w", "target_directory": "/w/target", "workspace_members": ["a", "b"],
        "packages": [
            package("a", "1.0.0", ("x", "bin"), ("pa", "lib"), ("t", "test")),
            package("b", "2.0.0", ("y", "bin"), ("ex", "example")),
            package("dep", "3.0.0", ("z", "bin")),
        ],
    }  # fmt: skip
    assert workspace.parse_metadata(json.dumps(answer)) == Workspace(
        root=Path("/w"),
        target_dir=Path("/w/target"),
        components=(
            Component(name="x", package="pa", version="1.0.0"),
            Component(name="y", package="pb", version="2.0.0"),
        ),
        manifests=(Path("/w/a/Cargo.toml"), Path("/w/b/Cargo.toml")),
    )


WORKSPACE = Workspace(
    root=Path("/w"), target_dir=Path("/w/target"),
    components=tuple(Component(name=name, package=name, version="1.0.0") for name in ("mqtt-server", "cli-command")),
)  # fmt: skip


def test_components_are_picked_by_name_and_commas():
    assert WORKSPACE.pick(()) == WORKSPACE.components
    assert [c.name for c in WORKSPACE.pick(("cli-command,mqtt-server", "cli-command"))] == [
        "cli-command",
        "mqtt-server",
    ]


def test_a_wrong_component_gets_the_nearest():
    with pytest.raises(UsageError) as caught:
        WORKSPACE.pick(("mqtt-servr",))
    assert caught.value.help == "did you mean 'mqtt-server'?"


def test_a_workspace_without_binaries_is_nothing_to_do():
    with pytest.raises(NothingToDo) as caught:
        Workspace(root=Path("/w"), target_dir=Path("/w/target"), components=()).pick(())
    assert caught.value.code == 3


def test_no_manifest_anywhere_is_usage(tmp_path):
    with pytest.raises(UsageError) as caught:
        workspace.find_manifest(tmp_path)
    assert caught.value.code == 2


# --- host tools -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packages", "tools"),
    [
        ([package("prost-build")], {"protoc": ("prost-build",)}),
        ([package("prost-build"), package("protox")], {}),
        ([package("openssl-src")], {"perl": ("openssl-src",), "make": ("openssl-src",)}),
        ([package("clang-sys"), package("bindgen", ["clang-sys"])], {"libclang": ("clang-sys",)}),
        ([package("paho-mqtt-sys", ["cmake"]), package("cmake")], {"cmake": ("paho-mqtt-sys",)}),
        ([package("aws-lc-sys", ["cmake", "cc"]), package("cmake")], {}),
        ([package("libz-sys", ["cmake"])], {}),
        ([package("libz-sys", ["cmake"], ["zlib-ng"])], {"cmake": ("libz-sys",)}),
        ([package("serde")], {}),
    ],
)
def test_crates_want_tools(packages, tools):
    assert tools_for(packages) == tools


def test_a_lock_without_known_crates_saves_the_question():
    assert not workspace.may_need_tools('[[package]]\nname = "serde"\nversion = "1.0.0"\n')
    assert workspace.may_need_tools('[[package]]\nname = "openssl-src"\nversion = "300.0.0"\n')


def test_every_tool_that_a_crate_names_is_described():
    crates, tools = workspace.knowledge()
    assert {tool for row in crates for tool in row["tools"]} <= set(tools)
    assert all(set(row) <= {"name", "dependents", "except", "unless", "feature", "tools"} for row in crates)


def test_the_graph_leaves_dev_dependencies_out():
    def node(name, *deps, features=()):
        edges = [{"pkg": dep, "dep_kinds": [{"kind": kind}]} for dep, kind in deps]
        return {"id": name, "deps": edges, "features": list(features)}

    answer = {
        "packages": [{"id": name, "name": f"{name}-crate"} for name in "abcd"],
        "workspace_members": ["a"],
        "resolve": {
            "nodes": [
                node("a", ("b", None), ("c", "dev")),
                node("b", ("d", "build"), features=["f"]),
                node("c"),
                node("d"),
            ]
        },
    }
    found = {package.name: package for package in workspace.read_graph(json.dumps(answer))}
    assert set(found) == {"a-crate", "b-crate", "d-crate"}
    assert found["b-crate"] == package("b-crate", ["d-crate"], ["f"])
