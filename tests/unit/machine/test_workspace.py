import json
from pathlib import Path

import pytest

from buildlib.core.errors import NothingToDo, UsageError
from buildlib.core.plan import Step
from buildlib.machine import workspace
from buildlib.machine.workspace import Component, Workspace


def test_the_binaries_of_members_are_the_components():
    def package(key, version, *targets, **details):
        targets = [{"name": name, "kind": [kind]} for name, kind in targets]
        manifest = f"/w/{key}/Cargo.toml"
        return {
            "id": key,
            "name": f"p{key}",
            "version": version,
            "manifest_path": manifest,
            "targets": targets,
            **details,
        }

    answer = {
        "workspace_root": "/w", "target_directory": "/w/target", "workspace_members": ["a", "b"],
        "packages": [
            package("a", "1.0.0", ("x", "bin"), ("pa", "lib"), ("t", "test"), license="MIT", description=None),
            package("b", "2.0.0", ("y", "bin"), ("ex", "example")),
            package("dep", "3.0.0", ("z", "bin")),
        ],
    }  # fmt: skip
    assert workspace.parse_metadata(json.dumps(answer)) == Workspace(
        root=Path("/w"),
        target_dir=Path("/w/target"),
        components=(
            Component(name="x", package="pa", version="1.0.0", license="MIT"),
            Component(name="y", package="pb", version="2.0.0"),
        ),
        manifests=(Path("/w/a/Cargo.toml"), Path("/w/b/Cargo.toml")),
    )


WORKSPACE = Workspace(
    root=Path("/w"), target_dir=Path("/w/target"),
    components=tuple(Component(name=name, package=name, version="1.0.0") for name in ("mqtt-server", "cli-command")),
)  # fmt: skip


def test_components_are_picked_by_name_and_at_commas():
    assert WORKSPACE.pick(()) == WORKSPACE.components
    assert [c.name for c in WORKSPACE.pick(("cli-command, mqtt-server", "cli-command"))] == [
        "cli-command",
        "mqtt-server",
    ]


def test_an_unknown_component_gets_the_nearest_one():
    with pytest.raises(UsageError) as caught:
        WORKSPACE.pick(("mqtt-servr",))
    assert (caught.value.message, caught.value.help) == (
        "unknown component 'mqtt-servr'",
        "did you mean 'mqtt-server'?",
    )


def test_a_workspace_without_binaries_is_nothing_to_do():
    with pytest.raises(NothingToDo) as caught:
        Workspace(root=Path("/w"), target_dir=Path("/w/target"), components=()).pick(())
    assert (caught.value.code, caught.value.message) == (3, "/w has no binaries")


def test_the_nearest_manifest_in_a_directory_and_above_it(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(UsageError) as caught:
        workspace.find_manifest(tmp_path / "a" / "b")
    assert (caught.value.code, caught.value.message, caught.value.help) == (
        2,
        f"no Cargo.toml in {tmp_path / 'a' / 'b'} or above it",
        "run in the directory of a Rust workspace",
    )
    (tmp_path / "Cargo.toml").touch()
    assert workspace.find_manifest(tmp_path / "a" / "b") == tmp_path / "Cargo.toml"
    (tmp_path / "a" / "Cargo.toml").touch()
    assert workspace.find_manifest(tmp_path / "a" / "b") == tmp_path / "a" / "Cargo.toml"


def test_the_command_that_lists_the_packages():
    assert workspace.metadata_step(Path("/r/cargo"), Path("/w")) == Step(
        title="workspace", argv=("/r/cargo", "metadata", "--format-version", "1", "--no-deps"), cwd=Path("/w"), stdout="keep",
        quiet=True,
    )  # fmt: skip
