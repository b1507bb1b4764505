"""The buildx builder: the one that the settings describe, and in what the one that is there differs.

Pure. Only the builder of that name is ever touched, and one that differs only when it is told to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildlib.config import Config
from buildlib.errors import UsageError
from buildlib.plan import Act, Step, Write, words

DRIVER = "docker-container"
# So that a build may ask for the host's network; none gets it unasked.
FLAGS = ("--allow-insecure-entitlement", "network.host")
# buildx does not tell which configuration a builder was made with; this variable of BuildKit's process does.
MARK = "env.BUILDLIB_CONFIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A builder as it is wanted."""

    name: str
    network: str  # "default" leaves it out
    configuration: str  # buildkitd.toml, "" for none

    @property
    def options(self) -> dict[str, str]:
        """Driver options, as `docker buildx ls` tells them."""
        network = {} if self.network == "default" else {"network": self.network}
        mark = hashlib.sha256(self.configuration.encode()).hexdigest()[:16]
        return network | ({MARK: mark} if self.configuration else {})


def wanted(config: Config) -> Builder:
    """The builder that the settings describe."""
    settings = config.builder
    mirrors = {host: _hosts(host, value) for host, value in settings["mirrors"].items()}
    return Builder(name=settings["name"], network=settings["network"], configuration=configuration(mirrors))


def _hosts(registry: str, value: Any) -> tuple[str, ...]:
    hosts = [value] if isinstance(value, str) else value
    if isinstance(hosts, list) and hosts and all(isinstance(host, str) and host for host in hosts):
        return tuple(hosts)
    raise UsageError(f"builder.mirrors: {registry} = {value!r} is no list of hosts")


def configuration(mirrors: Mapping[str, tuple[str, ...]]) -> str:
    """buildkitd.toml for these mirrors. Those on the loopback speak plain HTTP, as Docker takes it there."""
    lines = []
    for registry, hosts in mirrors.items():
        lines += [f"[registry.{json.dumps(registry)}]", f"mirrors = {json.dumps(list(hosts))}"]
    for host in sorted({host for hosts in mirrors.values() for host in hosts if is_loopback(host)}):
        lines += [f"[registry.{json.dumps(host)}]", "http = true"]
    return "".join(f"{line}\n" for line in lines)


def is_loopback(host: str) -> bool:
    name = host.split("/", maxsplit=1)[0]
    return name.startswith(("127.", "localhost:", "[::1]")) or name == "localhost"


def question() -> Step:
    """What builders there are; a JSON object a line."""
    argv = ("docker", "buildx", "ls", "--format", "json")
    return Step(title="builders", argv=argv, stdout="keep", quiet=True)


def find(answer: str, name: str) -> Mapping[str, Any] | None:
    """The builder of that name in the answer to `question`."""
    told = (json.loads(line) for line in answer.splitlines() if line.startswith("{"))
    return next((builder for builder in told if builder.get("Name") == name), None)


def drift(told: Mapping[str, Any], builder: Builder) -> tuple[str, ...]:
    """In what the builder that is there is not as wanted, one line each."""
    (first, *_) = told.get("Nodes") or [{}]
    options = first.get("DriverOpts") or {}
    facts = [
        ("driver", told.get("Driver", ""), DRIVER),
        ("flags", " ".join(first.get("Flags") or ()), " ".join(FLAGS)),
        *(
            (name.removeprefix("env."), options.get(name, "none"), builder.options.get(name, "none"))
            for name in sorted({"network", MARK} & (set(options) | set(builder.options)))
        ),
    ]
    return tuple(f"{name}: is {have}, wanted {want}" for name, have, want in facts if have != want)


def create(builder: Builder, scratch: Path) -> tuple[Act, ...]:
    """What makes the builder and boots it; `scratch` is an empty folder."""
    file = scratch / "buildkitd.toml"
    argv = (
        "docker", "buildx", "create", "--name", builder.name, "--driver", DRIVER, "--bootstrap",
        *words("--driver-opt", (f"{name}={value}" for name, value in builder.options.items())),
        "--buildkitd-flags", " ".join(FLAGS),
        *(("--config", str(file)) if builder.configuration else ()),
    )  # fmt: skip
    made = Step(title=f"create builder {builder.name}", argv=argv, attempts=5)
    return (Write(path=file, text=builder.configuration), made) if builder.configuration else (made,)


def remove(name: str) -> Step:
    """Takes the builder away, and its cache with it."""
    return Step(title=f"remove builder {name}", argv=("docker", "buildx", "rm", name))
