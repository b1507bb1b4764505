"""The buildx builder: as the settings describe it, and how an existing one differs.

Pure. Only the builder of that name is ever changed, and one that differs only with --force.
"""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from buildlib.builder import buildx
from buildlib.core import builder_settings
from buildlib.core.errors import BuildError, UsageError
from buildlib.core.plan import Action, Step, Write, words
from buildlib.core.settings import Config
from buildlib.core.targets import TARGETS, find_target
from buildlib.core.versions import version
from buildlib.registry.reference import is_loopback

DRIVER = "docker-container"
# Permits a build to request the host's network (--allow network.host); builds that do not request it do not get it.
FLAGS = ("--allow-insecure-entitlement", "network.host")
# The first BuildKit that sets the times in layers to SOURCE_DATE_EPOCH (rewrite-timestamp, in its release notes).
OLDEST = (0, 13)
# The driver options that the settings control. Others, such as a memory limit, may differ.
OPTIONS = ("network", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One BuildKit instance of a builder."""

    name: str
    endpoint: str = ""  # the Docker daemon that it runs on; "" is this machine's
    platforms: tuple[str, ...] = ()  # that it builds; () leaves the choice to buildx


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A builder as the settings describe it."""

    name: str
    network: str  # of BuildKit's container; "default" leaves the option out
    image: str  # of BuildKit; "" leaves the choice to buildx
    configuration: str  # buildkitd.toml, "" for none
    nodes: tuple[Node, ...]

    @property
    def options(self) -> dict[str, str]:
        """The driver options, as `docker buildx ls` names them."""
        options = {"network": "" if self.network == "default" else self.network, "image": self.image}
        return {name: value for name, value in options.items() if value}


def configured(config: Config) -> Builder:
    """The builder that the settings describe. UsageError for nodes that cannot form one builder."""
    options = config.builder
    return Builder(
        name=options.name, network=options.network, image=options.image,
        configuration=configuration(options.hosts()), nodes=_nodes(options.name, options.nodes),
    )  # fmt: skip


def _nodes(name: str, machines: tuple[builder_settings.Node, ...]) -> tuple[Node, ...]:
    """This machine's node, then those of the settings.

    If there are several, each gets a list of its own platforms: buildx takes a node without one for everything that it can
    emulate, and the native nodes get no work (seen with buildx 0.13).
    """
    others = [_node(f"{name}{number}", machine) for number, machine in enumerate(machines, 1)]
    assigned = [platform for node in others for platform in node.platforms]
    for platform in assigned:
        if assigned.count(platform) > 1:
            raise UsageError(f"builder.nodes: {platform} belongs to two nodes", "leave one out")
    remaining = dict.fromkeys(target.oci for target in TARGETS.values() if target.oci not in assigned)
    return (Node(name=f"{name}0", platforms=tuple(remaining) if others else ()), *others)


def _node(name: str, machine: builder_settings.Node) -> Node:
    if machine.endpoint.startswith("kubernetes://"):
        # All nodes of a builder have one driver (buildx's rule).
        raise UsageError(
            "builder.nodes: a cluster cannot be a node beside this machine",
            "create a builder with buildx's kubernetes driver, and build there",
        )
    platforms = dict.fromkeys(find_target(word).oci for word in machine.arches)
    return Node(name=name, endpoint=machine.endpoint, platforms=tuple(platforms))


def configuration(mirrors: Mapping[str, tuple[str, ...]]) -> str:
    """The text of buildkitd.toml for these mirrors. Mirrors on the loopback interface use plain HTTP, as in Docker."""
    lines = []
    for registry, hosts in mirrors.items():
        lines += [f"[registry.{json.dumps(registry)}]", f"mirrors = {json.dumps(list(hosts))}"]
    for host in sorted({host for hosts in mirrors.values() for host in hosts if is_loopback(host)}):
        lines += [f"[registry.{json.dumps(host)}]", "http = true"]
    return "".join(f"{line}\n" for line in lines)


# --- the existing builder ----------------------------------------------------------------------------------------------------


class ExistingNode(Struct, frozen=True, rename="pascal"):
    """A node, as `docker buildx ls` lists it. Every field may be missing or null."""

    name: str | None = None
    endpoint: str | None = None
    flags: tuple[str, ...] | None = None
    driver_opts: dict[str, str] | None = None
    files: dict[str, str] | None = None  # name -> content in base64
    version: str | None = None  # of BuildKit, known for a node that runs
    platforms: tuple[str, ...] | None = None


class ExistingBuilder(Struct, frozen=True, rename="pascal"):
    """A builder, as `docker buildx ls` lists it."""

    driver: str | None = None
    nodes: tuple[ExistingNode, ...] | None = None


def question() -> Step:
    """The question for the existing builders. The answer has one JSON object per line."""
    argv = ("docker", "buildx", "ls", "--format", "json")
    return Step(title="builders", argv=argv, stdout="keep", quiet=True, timeout=60)  # buildx gives each node 20 s


def find_builder(answer: str, name: str) -> ExistingBuilder | None:
    """The builder called `name` in the answer to `question`. BuildError if its description has unexpected types."""
    for line in answer.splitlines():
        described = buildx.read_index(line)  # {} for a warning or an empty line
        if described.get("Name") == name:
            try:
                return msgspec.convert(described, ExistingBuilder)
            except msgspec.ValidationError as error:
                help_text = f"docker buildx inspect {name}; or remove it with `docker buildx rm {name}`"
                raise BuildError(
                    f"builder {name}: unexpected output of `docker buildx ls`: {error}", help_text
                ) from None
    return None


def differences(existing: ExistingBuilder, builder: Builder) -> tuple[str, ...]:
    """How the existing builder differs from the settings, one line per difference."""
    nodes = existing.nodes or (ExistingNode(),)
    facts = [
        ("driver", existing.driver or "", DRIVER),
        *_options(nodes[0], builder),
        *_versions(nodes),
        *_platforms(nodes, builder),
    ]
    return tuple(
        f"{field}: {actual or 'none'}, expected {expected or 'none'}"
        for field, actual, expected in facts
        if actual != expected
    )


Fact = tuple[str, str, str]  # field, actual, expected


def _options(node: ExistingNode, builder: Builder) -> Iterator[Fact]:
    """What all nodes of a builder have in common."""
    yield "flags", " ".join(node.flags or ()), " ".join(FLAGS)
    for name in OPTIONS:
        yield name, (node.driver_opts or {}).get(name, ""), builder.options.get(name, "")
    actual, expected = _existing_configuration(node), tomllib.loads(builder.configuration)
    for section in sorted(actual.keys() | expected.keys()):
        field = f"buildkitd.toml [{section}]" if section else "buildkitd.toml"
        yield field, _json(actual.get(section)), _json(expected.get(section))


def _existing_configuration(node: ExistingNode) -> dict[str, Any]:
    """The configuration that the builder was created with. buildx keeps it, and prints it in base64."""
    try:
        return tomllib.loads(base64.b64decode((node.files or {}).get("buildkitd.toml", "")).decode())
    except ValueError:
        return {"": "unreadable"}


def _json(table: Any) -> str:
    return json.dumps(table, sort_keys=True, default=str) if table else ""


def _versions(nodes: tuple[ExistingNode, ...]) -> Iterator[Fact]:
    for node in nodes:
        actual = node.version or ""
        if () < version(actual)[:2] < OLDEST:
            yield f"BuildKit of {node.name or 'a node'}", actual, "v{}.{} or newer".format(*OLDEST)


def _platforms(nodes: tuple[ExistingNode, ...], builder: Builder) -> Iterator[Fact]:
    """Endpoints and platforms. buildx lists the platforms that a node was given before those that it detected."""
    yield "nodes", str(len(nodes)), str(len(builder.nodes))
    if len(nodes) != len(builder.nodes):
        return
    for actual, expected in zip(nodes, builder.nodes, strict=True):
        if expected.endpoint:
            yield f"endpoint of {expected.name}", actual.endpoint or "", expected.endpoint
        if expected.platforms:
            given = (actual.platforms or ())[: len(expected.platforms)]
            yield f"platforms of {expected.name}", ", ".join(sorted(given)), ", ".join(sorted(expected.platforms))


# --- creating and removing it ------------------------------------------------------------------------------------------------


def create(builder: Builder, scratch: Path) -> tuple[Action, ...]:
    """The actions that create the builder and boot it. `scratch` is an empty directory."""
    file = scratch / "buildkitd.toml"
    nodes = tuple(_add(builder, node, file) for node in builder.nodes)
    boot = ("docker", "buildx", "inspect", "--bootstrap", builder.name)
    steps = (*nodes, Step(title=f"boot builder {builder.name}", argv=boot, stdout="keep", attempts=5))
    return (Write(path=file, text=builder.configuration), *steps) if builder.configuration else steps


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
    """Remove the builder and its cache."""
    return Step(title=f"remove builder {name}", argv=("docker", "buildx", "rm", name))
