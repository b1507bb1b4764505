"""Programs that crates run on the build machine (protoc, cmake, perl, libclang …), and whether they are installed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from buildlib.core.requirements import Fix, Requirement, apt_fix
from buildlib.crates.graph import Script
from buildlib.crates.rows import Row, matching
from buildlib.machine.host import Host
from buildlib.machine.installation import pip_install

NAMED = 3  # so many packages are named in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program that crates run at build time, how to find it and what installs it."""

    name: str
    commands: tuple[str, ...]
    env: str
    wheel: bool
    apt: tuple[str, ...]


class Use(NamedTuple):
    """A crate that runs a tool in the build script of a package, `required` unless the script has another way."""

    tool: str
    crate: str
    package: str
    for_host: bool
    required: bool


@cache
def known() -> tuple[tuple[Row, ...], Mapping[str, Tool]]:
    """Return the contents of host_tools.toml: the rows about crates, and the tools that they name."""
    table = tomllib.loads(Path(__file__).with_name("host_tools.toml").read_text(encoding="utf-8"))
    tools = {
        name: Tool(name=name, commands=tuple(row.get("commands", ())), env=row.get("env", ""),
                   wheel=row.get("wheel", False), apt=tuple(row["apt"].split()))
        for name, row in table["tool"].items()
    }  # fmt: skip
    return tuple(table["crate"]), tools


def uses(scripts: Iterable[Script], target: str, host: Host) -> Iterator[Use]:
    """Return every use of a tool by `scripts`, which run on `host` in a build for the triple `target`."""
    for row, script in matching(known()[0], scripts, target, host):
        for tool in row["tools"]:
            yield Use(tool, row["name"], script.package, script.for_host, not row.get("fallback"))


def requirements(found: Iterable[Use], env: Mapping[str, str]) -> Iterator[Requirement]:
    """Return a requirement for each tool, in the order of the table; optional if no script depends on it alone."""
    by_tool: dict[str, list[Use]] = {}
    for use in found:
        by_tool.setdefault(use.tool, []).append(use)
    for name, tool in known()[1].items():
        if name in by_tool:
            required = [use for use in by_tool[name] if use.required]
            yield _requirement(tool, required or by_tool[name], required=bool(required), env=env)
    if "protoc" in by_tool and not (env.get("PROTOC") or env.get("PROTOC_INCLUDE")):
        yield Requirement(
            what="protoc's own .proto files", why="compile what imports google/protobuf/*.proto",
            met=_has_own_files, fixes=(apt_fix("libprotobuf-dev"),), required=False,
        )  # fmt: skip


def _has_own_files(host: Host) -> bool:
    """Whether protoc finds what comes with it, in ../include; also without protoc, which is a requirement itself."""
    protoc = host.which("protoc")
    return not protoc or host.exists(str(Path(protoc).parent.parent / "include/google/protobuf/descriptor.proto"))


def _requirement(tool: Tool, users: list[Use], *, required: bool, env: Mapping[str, str]) -> Requirement:
    for_host = any(use.for_host for use in users)
    crates = sorted({use.crate for use in users})
    packages = sorted({use.package for use in users} - set(crates))
    runs = f"{_listed(crates)} run{'s' if len(crates) == 1 else ''} it"
    why = f"{runs} for {_listed(packages)}" if packages else runs
    if not required:  # messages read "cannot ..."
        why = f"compile what {_listed(packages or crates)} bundles, where the system has no such library"
    wheel = (Fix(text=pip_install("host-tools")),) if tool.wheel else ()
    return Requirement(
        what=tool.name,
        why=why,
        met=lambda host: has_tool(host, tool, env, for_host=for_host),
        fixes=(*wheel, apt_fix(*tool.apt)),
        required=required,
    )


def _listed(names: list[str]) -> str:
    """Names for a message: the first few, and how many there are."""
    return ", ".join(names if len(names) <= NAMED + 1 else (*names[:NAMED], f"{len(names) - NAMED} others"))


def has_tool(host: Host, tool: Tool, env: Mapping[str, str], *, for_host: bool = False) -> bool:
    """Return whether the machine has the tool: in a variable, on PATH, or as a wheel in this Python environment.

    `env` are the variables that build scripts see; `for_host` is for a compiler, which must compile for this machine then.
    """
    if tool.env and env.get(tool.env):
        return True
    match tool.name:
        case "libclang":
            return host.system_libclang or host.libclang is not None
        case "c++":  # for the target zig has one, and for gcc it is in the package of the compiler
            own = host.which("c++", "g++", "clang++") is not None
            return own or (host.zig is not None and not (for_host and host.which("cc")))
    return host.which(*tool.commands) is not None
