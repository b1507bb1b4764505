import json
from pathlib import Path

import pytest

from buildlib.core.errors import UsageError
from buildlib.core.plan import Step
from buildlib.machine import workspace
from buildlib.machine.workspace import Component, Dependency, Package, Workspace


def package(key, *targets, **details):
    targets = [{"name": name, "kind": kinds.split()} | more for name, kinds, more in targets]
    manifest = f"/w/{key}/Cargo.toml"
    return {"id": key, "name": f"p{key}", "version": "1.0.0", "manifest_path": manifest, "targets": targets, **details}


def dependency(name, **changes):
    usual = {
        "name": name,
        "kind": None,
        "path": f"/w/{name}",
        "optional": False,
        "features": [],
        "uses_default_features": True,
    }
    return usual | changes


def test_members_and_their_targets():
    answer = {
        "workspace_root": "/w", "target_directory": "/w/target", "workspace_members": ["a", "b"],
        "workspace_default_members": ["b"],
        "packages": [
            package("a", ("x", "bin", {"required-features": ["cli"]}), ("a-lib", "cdylib rlib staticlib", {}), ("t", "test", {}),
                    license="MIT", description=None, features={"cli": ["dep:clap"]}, default_run="x"),
            package("b", ("y", "bin", {}), ("ex", "example", {}), ("plain", "cdylib", {}), dependencies=[
                dependency("pa", features=["cli"], uses_default_features=False), dependency("serde", path=None),
                dependency("pa", kind="dev", features=["all"]), dependency("pa", optional=True, features=["extra"]),
            ]),
            package("dep", ("z", "bin", {})),
        ],
    }  # fmt: skip
    assert workspace.parse_metadata(json.dumps(answer)) == Workspace(
        root=Path("/w"),
        target_dir=Path("/w/target"),
        components=(
            Component(name="x", package="pa", version="1.0.0", license="MIT", required_features=("cli",)),
            Component(name="y", package="pb", version="1.0.0"),
        ),
        members=(
            Package(name="pa", manifest=Path("/w/a/Cargo.toml"), version="1.0.0", default=False, default_run="x",
                    features={"cli": ("dep:clap",)}, libraries=("liba_lib.so", "liba_lib.a")),
            Package(name="pb", manifest=Path("/w/b/Cargo.toml"), version="1.0.0", examples=("ex",), libraries=("libplain.so",),
                    only_shared=True,
                    dependencies=(Dependency(name="pa", features=("cli",), default_features=False),)),
        ),
    )  # fmt: skip


def test_a_member_may_have_the_name_of_a_dependency_from_elsewhere(tmp_path):
    usual = {"workspace_root": str(tmp_path), "target_directory": "/t", "workspace_members": ["a", "b", "c"]}
    members = [package("a", dependencies=[dependency("pa", kind="dev", path=None)]), package("b"), package("c")]
    parsed = workspace.parse_metadata(json.dumps(usual | {"packages": members}))
    (tmp_path / "Cargo.lock").write_text('name = "pb"\nname = "pa"\nname = "pb"\nname = "pc"\n')
    assert list(parsed.specs(parsed.members)) == ["pa@1.0.0", "pb@1.0.0", "pc"]


def test_an_old_cargo_names_no_default_members():
    answer = {"workspace_root": "/w", "target_directory": "/t", "workspace_members": ["a"], "packages": [package("a")]}
    assert [member.default for member in workspace.parse_metadata(json.dumps(answer)).members] == [True]


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
