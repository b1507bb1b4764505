"""The buildx builder: the one that the settings describe, and in what the one that is there differs.

Pure. Only the builder of that name is ever touched, and one that differs only when it is told to.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildlib.core import settings
from buildlib.core.errors import UsageError
from buildlib.core.plan import Action, Step, Write, words
from buildlib.core.settings import Config
from buildlib.core.targets import TARGETS, find_target
from buildlib.registry.reference import is_loopback

DRIVER = "docker-container"
# So that a build may ask for the host's network; none gets it unasked.
FLAGS = ("--allow-insecure-entitlement", "network.host")
# The first BuildKit that sets the times in layers to SOURCE_DATE_EPOCH (rewrite-timestamp, in its release notes).
OLDEST = (0, 13)
# Driver options that are ours to compare; others are the machine's own business.
OPTIONS = ("network", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One BuildKit of a builder: the Docker daemon that it runs on ("" is this machine's), and the platforms that are its."""

    name: str
    endpoint: str = ""
    platforms: tuple[str, ...] = ()  # none: whatever it says itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A builder as it is wanted."""

    name: str
    network: str  # "default" leaves it out
    image: str  # BuildKit's; "" is buildx's own choice
    configuration: str  # buildkitd.toml, "" for none
    nodes: tuple[Node, ...]

    @property
    def options(self) -> dict[str, str]:
        """Driver options, as `docker buildx ls` tells them."""
        told = {"network": "" if self.network == "default" else self.network, "image": self.image}
        return {name: value for name, value in told.items() if value}


def configured(config: Config) -> Builder:
    """The builder that the settings describe. UsageError for nodes that cannot be one builder."""
    options = config.builder
    return Builder(
        name=options.name, network=options.network, image=options.image,
        configuration=configuration(options.hosts()), nodes=_nodes(options.name, options.nodes),
    )  # fmt: skip


def _nodes(name: str, machines: tuple[settings.Node, ...]) -> tuple[Node, ...]:
    """This machine's node, then those of the settings.

    As soon as there are several, each has a list of its own platforms: buildx takes a node without one for everything that it can
    emulate, and the native nodes get no work (seen with buildx 0.13).
    """
    others = [_node(f"{name}{number}", machine) for number, machine in enumerate(machines, 1)]
    taken = [platform for node in others for platform in node.platforms]
    for platform in taken:
        if taken.count(platform) > 1:
            raise UsageError(f"builder.nodes: {platform} belongs to two nodes", "leave one out")
    left = dict.fromkeys(target.oci for target in TARGETS.values() if target.oci not in taken)
    return (Node(name=f"{name}0", platforms=tuple(left) if others else ()), *others)


def _node(name: str, machine: settings.Node) -> Node:
    if machine.endpoint.startswith("kubernetes://"):
        # All nodes of a builder have one driver (buildx's rule).
        raise UsageError(
            "builder.nodes: a cluster cannot be a node beside this machine",
            "create a builder with buildx's kubernetes driver, and build there",
        )
    platforms = dict.fromkeys(find_target(word).oci for word in machine.arches)
    return Node(name=name, endpoint=machine.endpoint, platforms=tuple(platforms))


def configuration(hosts_of: Mapping[str, tuple[str, ...]]) -> str:
    """buildkitd.toml for these mirrors. Those on the loopback speak plain HTTP, as Docker takes it there."""
    lines = []
    for registry, hosts in hosts_of.items():
        lines += [f"[registry.{json.dumps(registry)}]", f"mirrors = {json.dumps(list(hosts))}"]
    for host in sorted({host for hosts in hosts_of.values() for host in hosts if is_loopback(host)}):
        lines += [f"[registry.{json.dumps(host)}]", "http = true"]
    return "".join(f"{line}\n" for line in lines)


# --- the one that is there -------------------------------------------------------------------------------------


def question() -> Step:
    """What builders there are; a JSON object a line."""
    argv = ("docker", "buildx", "ls", "--format", "json")
    return Step(title="builders", argv=argv, stdout="keep", quiet=True)


def find_builder(answer: str, name: str) -> Mapping[str, Any] | None:
    """The builder of that name in the answer to `question`."""
    told = (json.loads(line) for line in answer.splitlines() if line.startswith("{"))
    return next((builder for builder in told if builder.get("Name") == name), None)


def differences(told: Mapping[str, Any], builder: Builder) -> tuple[str, ...]:
    """In what the builder that is there is not as wanted, one line each."""
    nodes = told.get("Nodes") or [{}]
    facts = [
        ("driver", told.get("Driver", ""), DRIVER),
        *_shared(nodes[0], builder),
        *_versions(nodes),
        *_machines(nodes, builder),
    ]
    return tuple(f"{name}: is {have or 'none'}, wanted {want or 'none'}" for name, have, want in facts if have != want)


Fact = tuple[str, str, str]  # what, as it is, as it is wanted


def _shared(node: Mapping[str, Any], builder: Builder) -> Iterator[Fact]:
    options = node.get("DriverOpts") or {}
    yield "flags", " ".join(node.get("Flags") or ()), " ".join(FLAGS)
    for name in OPTIONS:
        yield name, options.get(name, ""), builder.options.get(name, "")
    have, want = _read(node), tomllib.loads(builder.configuration)
    for section in sorted(have.keys() | want.keys()):
        yield f"buildkitd.toml [{section}]", _told(have.get(section)), _told(want.get(section))


def _read(node: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that the builder was made with; buildx keeps it, and tells it as a list of bytes in base 64."""
    try:
        return tomllib.loads(base64.b64decode((node.get("Files") or {}).get("buildkitd.toml", "")).decode())
    except ValueError:
        return {"": "unreadable"}


def _told(table: Any) -> str:
    return json.dumps(table, sort_keys=True) if table else ""


def _versions(nodes: list[Mapping[str, Any]]) -> Iterator[Fact]:
    """BuildKit's version is known of a node that runs."""
    for node in nodes:
        if (found := re.match(r"v(\d+)\.(\d+)", node.get("Version") or "")) and tuple(
            map(int, found.groups())
        ) < OLDEST:
            yield f"BuildKit of {node.get('Name')}", node["Version"], "v{}.{} or newer".format(*OLDEST)


def _machines(nodes: list[Mapping[str, Any]], builder: Builder) -> Iterator[Fact]:
    """Where the nodes are and which platforms are theirs. buildx lists a node's own before those that it found out."""
    yield "nodes", str(len(nodes)), str(len(builder.nodes))
    if len(nodes) != len(builder.nodes):
        return
    for have, want in zip(nodes, builder.nodes, strict=True):
        if want.endpoint:
            yield f"endpoint of {want.name}", have.get("Endpoint", ""), want.endpoint
        if want.platforms:
            first = (have.get("Platforms") or [])[: len(want.platforms)]
            yield f"platforms of {want.name}", ", ".join(sorted(first)), ", ".join(sorted(want.platforms))


# --- making and removing it ------------------------------------------------------------------------------------


def create(builder: Builder, scratch: Path) -> tuple[Action, ...]:
    """What makes the builder and boots it; `scratch` is an empty folder."""
    file = scratch / "buildkitd.toml"
    made = tuple(_add(builder, node, file) for node in builder.nodes)
    boot = ("docker", "buildx", "inspect", "--bootstrap", builder.name)
    acts = (*made, Step(title=f"boot builder {builder.name}", argv=boot, stdout="keep", attempts=5))
    return (Write(path=file, text=builder.configuration), *acts) if builder.configuration else acts


def _add(builder: Builder, node: Node, file: Path) -> Step:
    argv = (
        "docker", "buildx", "create", "--name", builder.name, *(("--append",) if node.endpoint else ()), "--node", node.name,
        "--driver", DRIVER, *words("--driver-opt", (f"{name}={value}" for name, value in builder.options.items())),
        "--buildkitd-flags", " ".join(FLAGS),
        *(("--config", str(file)) if builder.configuration else ()),
        *(("--platform", ",".join(node.platforms)) if node.platforms else ()),
        *((node.endpoint,) if node.endpoint else ()),
    )  # fmt: skip
    return Step(title=f"create builder {node.name}", argv=argv)


def remove(name: str) -> Step:
    """Takes the builder away, and its cache with it."""
    return Step(title=f"remove builder {name}", argv=("docker", "buildx", "rm", name))
