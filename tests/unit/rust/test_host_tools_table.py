"""The table of crates and the programs that they run, and the crate graph."""

import json

import pytest

from buildlib.rust import host_tools
from buildlib.rust.host_tools import Package


def package(name, depends_on=(), features=()):
    return Package(name=name, features=frozenset(features), depends_on=frozenset(depends_on))


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
def test_the_tools_of_crates(packages, tools):
    assert host_tools.tools_for(packages) == tools


def test_a_lock_file_without_known_crates_needs_no_tools():
    assert not host_tools.may_need_tools('[[package]]\nname = "serde"\nversion = "1.0.0"\n')
    assert host_tools.may_need_tools('[[package]]\nname = "openssl-src"\nversion = "300.0.0"\n')


def test_every_tool_that_a_crate_names_is_described():
    crates, tools = host_tools.known()
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
    packages = {package.name: package for package in host_tools.read_graph(json.dumps(answer))}
    assert packages == {
        "a-crate": package("a-crate", ["b-crate"]),
        "b-crate": package("b-crate", ["d-crate"], ["f"]),
        "d-crate": package("d-crate"),
    }
