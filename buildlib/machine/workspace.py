"""`cargo metadata` -> the workspace's binaries, and the host tools that its crates will run."""

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
    # What its Cargo.toml says of it, "" where it says nothing.
    description: str = ""
    repository: str = ""
    license: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What cargo says of the workspace, without its dependencies."""

    root: Path
    target_dir: Path
    components: tuple[Component, ...]
    manifests: tuple[Path, ...] = ()  # of its members

    @property
    def lock(self) -> Path:
        return self.root / "Cargo.lock"

    def pick(self, names: Iterable[str]) -> tuple[Component, ...]:
        """The components of those names, all without names. NothingToDo for a workspace without binaries."""
        if not self.components:
            raise NothingToDo(f"{self.root} has no binaries", "add a [[bin]] or src/main.rs; libraries need no build")
        known = {component.name: component for component in self.components}
        wanted = [part.strip() for name in names for part in name.split(",") if part.strip()]
        for name in wanted:
            if name not in known:
                raise UsageError(f"no component is called {name!r}", suggestion(name, known))
        return tuple(known[name] for name in dict.fromkeys(wanted)) or self.components


def find_manifest(cwd: Path) -> Path:
    """The Cargo.toml that cargo would use in `cwd`. UsageError without one."""
    for folder in (cwd, *cwd.parents):
        if (manifest := folder / "Cargo.toml").is_file():
            return manifest
    raise UsageError(f"no Cargo.toml in {cwd} or above it", "run in the folder of a Rust workspace")


def metadata_step(cargo: Path, cwd: Path) -> Step:
    """The question for the workspace's own packages; asks no registry."""
    argv = (str(cargo), "metadata", "--format-version", "1", "--no-deps")
    return Step(title="workspace", argv=argv, cwd=cwd, stdout="keep", quiet=True)


def parse_metadata(answer: str) -> Workspace:
    """`metadata`'s answer as data; binaries in cargo's order."""
    told = json.loads(answer)
    members = [package for package in told["packages"] if package["id"] in set(told["workspace_members"])]
    return Workspace(
        root=Path(told["workspace_root"]),
        target_dir=Path(told["target_directory"]),
        components=tuple(
            Component(name=made["name"], package=package["name"], version=package["version"], **_told(package))
            for package in members
            for made in package["targets"]
            if "bin" in made["kind"]
        ),
        manifests=tuple(Path(package["manifest_path"]) for package in members),
    )


def _told(package: Mapping[str, Any]) -> dict[str, str]:
    return {key: package.get(key) or "" for key in ("description", "repository", "license")}
