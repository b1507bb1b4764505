"""Programs that crates run on the build machine (protoc, cmake, perl, libclang …), and whether they are installed."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from buildlib.core.errors import BuildError, NetworkError
from buildlib.core.plan import Step, Write
from buildlib.core.requirements import Fix, Requirement, apt_install
from buildlib.core.targets import Target
from buildlib.failures.classify import classify
from buildlib.machine.host import Host
from buildlib.machine.installation import pip_install
from buildlib.machine.workspace import Workspace
from buildlib.process.context import Context
from buildlib.process.files import read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package of the resolved graph."""

    name: str
    features: frozenset[str]
    depends_on: frozenset[str]  # names


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program that crates run at build time, how to find it and what installs it."""

    name: str
    commands: tuple[str, ...]
    env: str
    wheel: bool
    apt: str


@cache
def known() -> tuple[tuple[Mapping[str, Any], ...], Mapping[str, Tool]]:
    """Return the contents of host_tools.toml: the rows about crates, and the tools that they name."""
    table = tomllib.loads(Path(__file__).with_name("host_tools.toml").read_text(encoding="utf-8"))
    tools = {
        name: Tool(name=name, commands=tuple(row.get("commands", ())), env=row.get("env", ""),
                   wheel=row.get("wheel", False), apt=row["apt"])
        for name, row in table["tool"].items()
    }  # fmt: skip
    return tuple(table["crate"]), tools


def may_need_tools(lock: str) -> bool:
    """Return whether a Cargo.lock names any crate of host_tools.toml.

    A lock file lists everything that could be compiled, so False is certain and saves a question for the crate graph.
    """
    locked = set(re.findall(r'^name = "([^"]+)"$', lock, re.MULTILINE))
    return bool(locked & {row["name"] for row in known()[0]})


def graph(cargo: Path, workspace: Workspace, target: Target, features: tuple[str, ...]) -> Step:
    """Return the question for the whole resolved graph. cargo downloads for it what the build needs anyway."""
    argv = (
        str(cargo), "metadata", "--format-version", "1", "--filter-platform", target.triple,
        *(("--locked",) if workspace.lock.is_file() else ()),
        *(("--features", ",".join(features)) if features else ()),
    )  # fmt: skip
    return Step(title="crate graph", argv=argv, cwd=workspace.root, stdout="keep", quiet=True, attempts=10)


def read_graph(answer: str) -> tuple[Package, ...]:
    """Return the packages of the answer to `graph` that will be compiled; dev-dependencies are left out."""
    metadata = json.loads(answer)
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    reached: set[str] = set()
    queue = list(metadata["workspace_members"])
    edges: dict[str, frozenset[str]] = {}
    while queue:
        current = queue.pop()
        if current in reached:
            continue
        reached.add(current)
        dependencies = [
            dep["pkg"] for dep in nodes[current]["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])
        ]
        edges[current] = frozenset(names[pkg] for pkg in dependencies)
        queue.extend(dependencies)
    return tuple(
        Package(name=names[pkg], features=frozenset(nodes[pkg]["features"]), depends_on=edges[pkg]) for pkg in reached
    )


def tools_for(packages: Iterable[Package]) -> dict[str, tuple[str, ...]]:
    """Return the packages that run each tool, sorted, by the tool's name."""
    packages = tuple(packages)
    present = {package.name for package in packages}
    users: dict[str, set[str]] = {}
    for row in known()[0]:
        if present & set(row.get("unless", ())):
            continue
        for package in packages:
            if row.get("dependents"):
                matches = row["name"] in package.depends_on and package.name not in row.get("except", ())
            else:
                matches = package.name == row["name"]
            if matches and (not row.get("feature") or row["feature"] in package.features):
                for tool in row["tools"]:
                    users.setdefault(tool, set()).add(package.name)
    return {tool: tuple(sorted(names)) for tool, names in users.items()}


def requirement(tool: Tool, crates: tuple[str, ...]) -> Requirement:
    """Require that the machine has `tool`, which `crates` run."""
    wheel = (Fix(text=pip_install("host-tools")),) if tool.wheel else ()
    apt = Fix(text=f"apt-get install {tool.apt}", steps=(apt_install(tool.apt),))
    return Requirement(
        what=tool.name,
        why=f"{', '.join(crates)} run{'s' if len(crates) == 1 else ''} it",
        met=lambda host: has_tool(host, tool),
        fixes=(*wheel, apt),
    )


def has_tool(host: Host, tool: Tool) -> bool:
    """Return whether the machine has the tool: in a variable, on PATH, or as a wheel in this Python environment."""
    if tool.env and host.env.get(tool.env):
        return True
    match tool.name:
        case "libclang":
            return host.system_libclang or host.libclang is not None
        case "c++":  # zig has one; for gcc it is in the package of the compiler
            return host.zig is not None or host.which("c++", "g++") is not None
    return host.which(*tool.commands) is not None


def used_by(context: Context, targets: tuple[Target, ...]) -> dict[str, tuple[str, ...]]:
    """Return the crates that run each host tool, over all targets, by the tool's name.

    cargo is asked for the crate graph only if the lock file names a crate that is known to run something.
    """
    lock = read_text(context.workspace.lock)
    if not context.host.toolchains or (lock and not may_need_tools(lock)):
        return {}
    users: dict[str, set[str]] = {}
    for target in targets:
        for tool, crates in _tools_of(context, target, lock).items():
            users.setdefault(tool, set()).update(crates)
    return {tool: tuple(sorted(crates)) for tool, crates in users.items()}


def _tools_of(context: Context, target: Target, lock: str) -> dict[str, tuple[str, ...]]:
    """Return the same for one target.

    The answer is cached beside the target directories: in a large workspace cargo takes longer for the graph than for a build
    with nothing to do, and the graph cannot change while lock file and manifests stay the same.
    """
    features = context.config.features
    manifests = [member.manifest.read_text(encoding="utf-8") for member in context.workspace.members]
    key = [known(), target.triple, features, lock, manifests]
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    cached = context.workspace.target_dir / "buildlib" / f"tools-{digest}.json"
    if lock and (answer := read_text(cached)):
        cached_tools: dict[str, list[str]] = json.loads(answer)
        return {tool: tuple(crates) for tool, crates in cached_tools.items()}
    outcome = context.run(graph(context.host.toolchains[0].cargo, context.workspace, target, features))
    if not outcome:
        failure = classify(outcome.output)
        error = NetworkError if failure.transient else BuildError
        raise error(f"cargo cannot resolve the crate graph: {outcome.output.strip()}", failure.help)
    tools = tools_for(read_graph(outcome.stdout))
    if lock:
        context.run(Write(path=cached, text=json.dumps(tools)))
    return tools
