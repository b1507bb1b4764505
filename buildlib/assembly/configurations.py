"""The configuration of an image that is put on a base image, byte for byte as BuildKit (v0.25.1) writes it. Pure.

Of the base image's configuration the fields are kept that the OCI image specification 1.1 and Docker (moby/docker-image-spec) define,
in the order of their Go types; BuildKit drops all others. It comes from a registry, so every field is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from buildlib.assembly.oci import Runtime, go_json, platform_of, timestamp
from buildlib.core.errors import BuildError
from buildlib.image_gate import manifests

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of an image without a base image
SECOND = 1_000_000_000  # nanoseconds
FRONTEND = "buildkit.dockerfile.v0"
_Names = dict[str, Any] | None  # Go's sets: the values are empty objects


class BaseProcess(Struct, frozen=True, rename="pascal", omit_defaults=True):
    """How a container runs."""

    user: str = ""
    exposed_ports: _Names = None
    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: _Names = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    args_escaped: bool = False
    healthcheck: dict[str, Any] | None = None
    on_build: tuple[str, ...] | None = None
    shell: tuple[str, ...] | None = None


class History(Struct, frozen=True, omit_defaults=True):
    """One line of the history."""

    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class RootFs(Struct, frozen=True):
    """The layers, as digests of their tar files."""

    diff_ids: tuple[Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")], ...] = ()


class BaseConfiguration(Struct, frozen=True):
    """The configuration of a base image."""

    author: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] | None = msgspec.field(default=None, name="os.features")
    config: BaseProcess | None = None
    history: tuple[History, ...] | None = None
    rootfs: RootFs = RootFs()

    @property
    def process(self) -> BaseProcess:
        """How a container of the base image runs."""
        return self.config or BaseProcess()


SCRATCH = BaseConfiguration(config=BaseProcess(env=(DEFAULT_PATH,)))


def read(data: bytes, title: str, layers: int) -> BaseConfiguration:
    """The configuration of a base image with this number of layers. BuildError that begins with `title` for anything else."""
    found = manifests.decode(data, BaseConfiguration, f"{title}: invalid configuration")
    if len(found.rootfs.diff_ids) != layers:
        message = f"{title}: invalid configuration: {len(found.rootfs.diff_ids)} layers, expected {layers}"
        raise BuildError(message, manifests.HELP)
    if found.process.on_build:
        message = f"{title}: its ONBUILD instructions need a container engine"
        raise BuildError(message, "use --engine docker, or another base image")
    return found


def configuration(
    base: BaseConfiguration, platform: str, runtime: Runtime, epoch: int, steps: Sequence[tuple[str, str]]
) -> bytes:
    """The configuration for a platform ("linux/arm/v7").

    `steps` are the lines of the history after those of the base image, each with the digest of the tar file of its layer, "" without
    one. `epoch` is the time of all of them, in seconds since 1970.
    """
    created = timestamp(epoch)
    lines = [
        History(created=created, created_by=text, comment=FRONTEND, empty_layer=not diff_id) for text, diff_id in steps
    ]
    known = platform_of(platform)
    data = {
        "architecture": known["architecture"],
        **({"author": base.author} if base.author else {}),
        "config": msgspec.to_builtins(_process(base.process, runtime)),
        "created": created,
        "history": msgspec.to_builtins((*_history(base), *lines)),
        "os": known["os"],
        **({"os.features": list(base.os_features)} if base.os_features else {}),
        **({"os.version": base.os_version} if base.os_version else {}),
        "rootfs": {
            "type": "layers",
            "diff_ids": [*base.rootfs.diff_ids, *(diff_id for _, diff_id in steps if diff_id)],
        },
        **({"variant": known["variant"]} if "variant" in known else {}),
    }
    return go_json(data)


def _process(base: BaseProcess, runtime: Runtime) -> BaseProcess:
    """How the image runs: as its base image, where the stage says nothing else."""
    health = base.healthcheck
    if runtime.health:
        health = {
            "Test": ["CMD", *runtime.health], "Interval": 10 * SECOND, "Timeout": 5 * SECOND, "StartPeriod": 30 * SECOND,
        }  # fmt: skip
    return msgspec.structs.replace(
        base, user=runtime.user, exposed_ports=_joined(base.exposed_ports, (f"{port}/tcp" for port in runtime.ports)),
        env=_environment(base.env or (), runtime.env), entrypoint=runtime.entrypoint, cmd=runtime.command or None,
        volumes=_joined(base.volumes, runtime.volumes), working_dir=runtime.workdir or base.working_dir or "/",
        labels=dict(sorted({**(base.labels or {}), **runtime.labels}.items())) or None, healthcheck=health,
        args_escaped=base.args_escaped or bool(runtime.command),  # BuildKit's CMD sets it
    )  # fmt: skip


def _joined(base: _Names, names: Iterable[str]) -> _Names:
    return {name: {} for name in sorted({*(base or {}), *names})} or None


def _environment(base: Sequence[str], new: Mapping[str, str]) -> tuple[str, ...]:
    """The variables of the base image, changed in place, then the new ones."""
    names = [line.partition("=")[0] for line in base]
    lines = [f"{name}={new[name]}" if name in new else line for name, line in zip(names, base, strict=True)]
    return (*lines, *(f"{name}={value}" for name, value in sorted(new.items()) if name not in names))


def _history(base: BaseConfiguration) -> tuple[History, ...]:
    """The base image's history, with one line for each of its layers: tools that write no history exist."""
    lines, layers = base.history or (), len(base.rootfs.diff_ids)
    if sum(not line.empty_layer for line in lines) == layers:
        return lines
    return tuple(History(comment="layer of the base image") for _ in range(layers))
