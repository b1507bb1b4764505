"""What the image of a binary is made of: the component's settings, labels, tags, and the gated binaries of dist/."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib import elf
from buildlib.assembly import oci
from buildlib.assembly.oci import Runtime
from buildlib.assembly.spec import ImageSpec
from buildlib.binaries import dist
from buildlib.core.component_settings import Component as ComponentSettings
from buildlib.core.errors import Refused
from buildlib.core.targets import Target
from buildlib.images.dockerfile import Stage
from buildlib.machine.workspace import Component
from buildlib.process.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryImage(ImageSpec):
    """The image of a binary of the workspace."""

    component: Component
    stage: Stage  # how it runs, labels included
    entries: Mapping[Target, dist.Entry]  # its binaries in dist/, gated


def binary_images(
    context: Context, targets: tuple[Target, ...], tags: tuple[str, ...], epoch: int, revision: str
) -> list[BinaryImage]:  # fmt: skip
    """The images of binaries, once the binaries exist; tagged with the component's version when no tag is given.

    Refused when a binary is missing, or is not the one that passed the gate.
    """
    specs = []
    for component in context.selection.components:
        stage = stage_of(context, component)
        known = {**labels(component, epoch, revision), **stage.labels}
        stage = replace(stage, runtime=replace(stage.runtime, labels=known))
        entries = gated_binaries(context, component, targets)
        specs.append(
            BinaryImage(
                name=component.name, targets=targets, tags=tags or (component.tag,), component=component, stage=stage,
                entries=entries,
            )
        )  # fmt: skip
    return specs


def stage_of(context: Context, component: Component) -> Stage:
    """The component's stage of the Dockerfile, from the settings."""
    settings = context.config.components.get(component.name, ComponentSettings())
    user = settings.user or oci.USER_AND_GROUP
    runtime = Runtime(
        entrypoint=(settings.program or f"/usr/bin/{component.name}",),
        command=settings.command,
        user=user if ":" in user else f"{user}:{user}",
        workdir=settings.workdir,
        ports=settings.ports,
        health=tuple(shlex.split(settings.health)),
        env={name: str(value) for name, value in settings.env.items()},
        volumes=settings.volumes,
    )
    return Stage(
        system_libraries=bool(context.config.libraries),
runtime=runtime, base=settings.base, says=settings.says, files=settings.files, labels=settings.labels,
    )  # fmt: skip


def labels(component: Component, epoch: int, revision: str) -> Mapping[str, str]:
    """The OCI image specification's annotations as labels, as far as they are known. `epoch` in seconds since 1970."""
    known = {
        "title": component.name, "version": component.version, "created": oci.timestamp(epoch), "revision": revision,
        "source": component.repository, "licenses": component.license, "description": component.description,
    }  # fmt: skip
    return {f"org.opencontainers.image.{key}": value for key, value in known.items() if value}


def gated_binaries(context: Context, component: Component, targets: Iterable[Target]) -> dict[Target, dist.Entry]:
    """The manifest's entry for each target. Refused when a file of it is missing, or is not the one that passed the gate."""
    entries = {entry["path"]: entry for entry in dist.read(context.dist) if dist.kind_of(entry) == "bin"}
    gated = {}
    for target in targets:
        entry = entries.get(name := f"{target.name}/{component.name}")
        if entry is None:
            raise _not_in_dist(context.dist / name)
        for file in dist.files_of(entry):
            path = context.dist / file["path"]
            if not path.is_file():
                raise _not_in_dist(path)
            if elf.digest(path) != file["sha256"]:
                raise Refused(f"{path}: not the file that passed the gate", "run `buildlib build`")
        gated[target] = entry
    return gated


def _not_in_dist(path: Path) -> Refused:
    return Refused(f"{path}: not in dist/", "run `buildlib build`, or leave out --no-build")
