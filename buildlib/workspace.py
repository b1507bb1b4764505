"""`cargo metadata` -> the workspace's binaries, and the host tools that its crates will run."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from buildlib.errors import NothingToDo, UsageError
from buildlib.plan import Step
from buildlib.targets import Target, suggestion


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


def metadata(cargo: Path, cwd: Path) -> Step:
    """The question for the workspace's own packages; asks no registry."""
    argv = (str(cargo), "metadata", "--format-version", "1", "--no-deps")
    return Step(title="workspace", argv=argv, cwd=cwd, stdout="keep", quiet=True)


def read(answer: str) -> Workspace:
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


# --- what crates run on the build machine -----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package of the resolved graph."""

    name: str
    features: frozenset[str]
    depends_on: frozenset[str]  # names


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program that crates run at build time, how it is found and what brings it."""

    name: str
    commands: tuple[str, ...]
    env: str
    wheel: bool
    apt: str


@cache
def knowledge() -> tuple[tuple[Mapping[str, Any], ...], Mapping[str, Tool]]:
    """hosttools.toml: the rows about crates, and the tools they name."""
    table = tomllib.loads(Path(__file__).with_name("hosttools.toml").read_text(encoding="utf-8"))
    tools = {
        name: Tool(name=name, commands=tuple(row.get("commands", ())), env=row.get("env", ""),
                   wheel=row.get("wheel", False), apt=row["apt"])
        for name, row in table["tool"].items()
    }  # fmt: skip
    return tuple(table["crate"]), tools


def may_need_tools(lock: str) -> bool:
    """Whether a Cargo.lock names any crate that hosttools.toml knows. A lock lists all that could ever be
    compiled, so "no" is certain and saves the question for the graph."""
    locked = set(re.findall(r'^name = "([^"]+)"$', lock, re.MULTILINE))
    return bool(locked & {row["name"] for row in knowledge()[0]})


def graph(cargo: Path, workspace: Workspace, target: Target, features: tuple[str, ...]) -> Step:
    """The question for the whole resolved graph; fetches what the build will need anyway."""
    argv = (
        str(cargo), "metadata", "--format-version", "1", "--filter-platform", target.triple,
        *(("--locked",) if workspace.lock.is_file() else ()),
        *(("--features", ",".join(features)) if features else ()),
    )  # fmt: skip
    return Step(title="crate graph", argv=argv, cwd=workspace.root, stdout="keep", quiet=True, attempts=10)


def read_graph(answer: str) -> tuple[Package, ...]:
    """`graph`'s answer as data: what will be compiled, dev-dependencies left out."""
    told = json.loads(answer)
    names = {package["id"]: package["name"] for package in told["packages"]}
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
    reached, queue = set(), list(told["workspace_members"])
    edges: dict[str, frozenset[str]] = {}
    while queue:
        current = queue.pop()
        if current in reached:
            continue
        reached.add(current)
        into = [dep["pkg"] for dep in nodes[current]["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
        edges[current] = frozenset(names[pkg] for pkg in into)
        queue.extend(into)
    return tuple(
        Package(name=names[pkg], features=frozenset(nodes[pkg]["features"]), depends_on=edges[pkg]) for pkg in reached
    )


def tools_for(packages: Iterable[Package]) -> dict[str, tuple[str, ...]]:
    """Tool name -> the packages that want it, sorted."""
    packages = tuple(packages)
    present = {package.name for package in packages}
    wanted: dict[str, set[str]] = {}
    for row in knowledge()[0]:
        if present & set(row.get("unless", ())):
            continue
        for package in packages:
            if row.get("dependents"):
                hit = row["name"] in package.depends_on and package.name not in row.get("except", ())
            else:
                hit = package.name == row["name"]
            if hit and (not row.get("feature") or row["feature"] in package.features):
                for tool in row["tools"]:
                    wanted.setdefault(tool, set()).add(package.name)
    return {tool: tuple(sorted(names)) for tool, names in wanted.items()}
