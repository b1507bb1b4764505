"""The workspace and its binaries, from `cargo metadata`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildlib.core.errors import NothingToDo, UsageError
from buildlib.core.plan import Step
from buildlib.core.targets import suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A binary of the workspace."""

    name: str
    package: str
    version: str
    # From the Cargo.toml of its package, "" if absent.
    description: str = ""
    repository: str = ""
    license: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The workspace as `cargo metadata` describes it, without its dependencies."""

    root: Path
    target_dir: Path
    components: tuple[Component, ...]
    manifests: tuple[Path, ...] = ()  # of its members

    @property
    def lock(self) -> Path:
        """The path of Cargo.lock."""
        return self.root / "Cargo.lock"

    def pick(self, names: Iterable[str]) -> tuple[Component, ...]:
        """The components with these names, all of them if there are no names. A name may hold several, separated by commas.

        NothingToDo for a workspace without binaries, UsageError with the nearest name for an unknown one.
        """
        if not self.components:
            raise NothingToDo(f"{self.root} has no binaries", "add a [[bin]] or src/main.rs; libraries need no build")
        known = {component.name: component for component in self.components}
        requested = [part.strip() for name in names for part in name.split(",") if part.strip()]
        for name in requested:
            if name not in known:
                raise UsageError(f"unknown component {name!r}", suggestion(name, known))
        return tuple(known[name] for name in dict.fromkeys(requested)) or self.components


def find_manifest(cwd: Path) -> Path:
    """The Cargo.toml that cargo would use in `cwd`. UsageError without one."""
    for folder in (cwd, *cwd.parents):
        if (manifest := folder / "Cargo.toml").is_file():
            return manifest
    raise UsageError(f"no Cargo.toml in {cwd} or above it", "run in the directory of a Rust workspace")


def metadata_step(cargo: Path, cwd: Path) -> Step:
    """The command that lists the workspace's own packages; it needs no registry."""
    argv = (str(cargo), "metadata", "--format-version", "1", "--no-deps")
    return Step(title="workspace", argv=argv, cwd=cwd, stdout="keep", quiet=True)


def parse_metadata(answer: str) -> Workspace:
    """The workspace, from the output of `cargo metadata`; binaries in cargo's order."""
    metadata = json.loads(answer)
    member_ids = set(metadata["workspace_members"])
    members = [package for package in metadata["packages"] if package["id"] in member_ids]
    return Workspace(
        root=Path(metadata["workspace_root"]),
        target_dir=Path(metadata["target_directory"]),
        components=tuple(
            Component(name=target["name"], package=package["name"], version=package["version"], **_details(package))
            for package in members
            for target in package["targets"]
            if "bin" in target["kind"]
        ),
        manifests=tuple(Path(package["manifest_path"]) for package in members),
    )


def _details(package: Mapping[str, Any]) -> dict[str, str]:
    return {key: package.get(key) or "" for key in ("description", "repository", "license")}
