"""The host tools that crates run: the question for the crate graph, its cache, and the table."""

import json

import pytest
from machines import ARM64, Recorder, context

from buildlib.core.errors import NetworkError
from buildlib.core.targets import TARGETS
from buildlib.rust import host_tools

RISCV64 = TARGETS["riscv64"]
GRAPH = {
    "packages": [{"id": "a", "name": "app"}, {"id": "p", "name": "prost-build"}],
    "workspace_members": ["a"],
    "resolve": {
        "nodes": [
            {"id": "a", "deps": [{"pkg": "p", "dep_kinds": [{"kind": "build"}]}], "features": []},
            {"id": "p", "deps": [], "features": []},
        ]
    },
}


def used_by(root, run, host):
    return host_tools.used_by(context(host, run, root=root), (ARM64, RISCV64))


def test_the_graph_is_asked_for_once_per_target_until_lock_file_or_manifest_change(machine, rustup, tmp_path):
    host, run = machine(toolchains=(rustup,)), Recorder({"crate graph": (0, json.dumps(GRAPH))})
    lock = tmp_path / "Cargo.lock"
    lock.write_text('name = "prost-build"\n')
    manifest = tmp_path / "Cargo.toml"
    manifest.write_text("[package]\n")
    for questions in (2, 2):
        assert used_by(tmp_path, run, host) == {"protoc": ("prost-build",)}
        assert len(run.asked) == questions
    lock.write_text('name = "prost-build"\nname = "other"\n')
    used_by(tmp_path, run, host)
    assert len(run.asked) == 4
    manifest.write_text("[package]\n[features]\n")
    used_by(tmp_path, run, host)
    assert len(run.asked) == 6


def test_a_lock_file_without_known_crates_saves_the_question(machine, rustup, tmp_path):
    run = Recorder()
    (tmp_path / "Cargo.lock").write_text('name = "serde"\n')
    assert used_by(tmp_path, run, machine(toolchains=(rustup,))) == {} and run.asked == []


def test_a_graph_that_needs_a_network_that_is_down_is_a_network_error(machine, rustup, tmp_path):
    run = Recorder({"crate graph": (101, "error: failed to download\n  Could not resolve host: index")})
    with pytest.raises(NetworkError) as caught:
        used_by(tmp_path, run, machine(toolchains=(rustup,)))
    assert caught.value.code == 5
