"""What each image is made of: the component's settings, labels, tags, and the gated binaries of dist/."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib import elf
from buildlib.binaries import dist
from buildlib.core.component_settings import Component as ComponentSettings
from buildlib.core.errors import BuildError, Refused, UsageError
from buildlib.core.plan import Status, Step
from buildlib.core.targets import Target
from buildlib.images import oci
from buildlib.images.dockerfile import Stage
from buildlib.images.oci import Runtime
from buildlib.machine.workspace import Component
from buildlib.process.context import Context
from buildlib.registry.reference import TAG, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """One component's image and where it is, or the error."""

    component: str
    status: Status
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    where: str = ""  # the layout's directory, the repository, or the name in the daemon
    digest: str = ""
    error: BuildError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """One component's image as requested."""

    component: Component
    stage: Stage  # how it runs, labels included
    tags: tuple[str, ...]
    entries: Mapping[Target, dist.Entry]  # its binaries in dist/, gated

    @property
    def platforms(self) -> tuple[str, ...]:
        """The OCI platforms: linux/arm/v7."""
        return tuple(target.oci for target in self.entries)


def check_options(targets: Iterable[Target], tags: Iterable[str]) -> None:
    """UsageError for two targets with the same platform, or a tag that no registry accepts."""
    seen: dict[str, Target] = {}
    for target in targets:
        if target.oci in seen:
            raise UsageError(f"{target.name} and {seen[target.oci].name} are both {target.oci}", "leave one out")
        seen[target.oci] = target
    for tag in tags:
        if not TAG.fullmatch(tag):
            help_text = "letters, digits, _ . and -, at most 128, not beginning with . or -"
            raise UsageError(f"{tag!r} is not a tag", help_text)


def image_specs(
    context: Context, targets: tuple[Target, ...], tags: tuple[str, ...], epoch: int, revision: str
) -> list[ImageSpec]:  # fmt: skip
    """The images, once the binaries exist; tagged with the component's version when no tag is given.

    Refused when a binary is missing, or is not the one that passed the gate.
    """
    specs = []
    for component in context.selection.components:
        stage = stage_of(context, component)
        known = {**labels(component, epoch, revision), **stage.labels}
        stage = replace(stage, runtime=replace(stage.runtime, labels=known))
        entries = gated_binaries(context, component, targets)
        specs.append(ImageSpec(component=component, stage=stage, tags=tags or (component.version,), entries=entries))
    return specs


def one_per_platform(targets: Iterable[Target], *, static: bool) -> tuple[Target, ...]:
    """One of the configured targets for each platform: static ones where only those will do, else glibc first.

    UsageError when none is left.
    """
    chosen: dict[str, Target] = {}
    for target in sorted(targets, key=lambda target: target.is_musl):  # keeps the order otherwise
        if target.is_musl or not static:
            chosen.setdefault(target.oci, target)
    if not chosen:
        raise UsageError("no static target is configured", "use --arch amd64-musl,arm64-musl")
    return tuple(chosen.values())


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


def registry(context: Context) -> str:
    """HOST/PATH, which precedes the components' names. UsageError if it is not set, or not the name of a registry."""
    prefix = context.config.registry
    if not prefix:
        raise UsageError("no registry to push to", "use --registry HOST/PATH, or set `registry`")
    if not _is_registry(prefix):
        lower = prefix.lower()
        help_text = f"did you mean {lower!r}?" if _is_registry(lower) else "write it as ghcr.io/acme"
        raise UsageError(f"registry: {prefix!r} is not the name of a registry", help_text)
    return prefix


def _is_registry(prefix: str) -> bool:
    try:
        parse(f"{prefix}/component")
    except UsageError:
        return False
    return "://" not in prefix and prefix == prefix.lower()  # also hosts are written in lower case


def labels(component: Component, epoch: int, revision: str) -> Mapping[str, str]:
    """The OCI image specification's annotations as labels, as far as they are known. `epoch` in seconds since 1970."""
    known = {
        "title": component.name, "version": component.version, "created": oci.timestamp(epoch), "revision": revision,
        "source": component.repository, "licenses": component.license, "description": component.description,
    }  # fmt: skip
    return {f"org.opencontainers.image.{key}": value for key, value in known.items() if value}


def commit(context: Context) -> tuple[int, str]:
    """The time in seconds since 1970 and the commit: SOURCE_DATE_EPOCH, else the commit's own time, else 0 and ""."""
    question = Step(title="commit", argv=("git", "log", "-1", "--format=%ct %H"), cwd=context.workspace.root,
                    stdout="keep", quiet=True)  # fmt: skip
    try:
        outcome = context.run(question)
        when, _, revision = outcome.stdout.strip().partition(" ") if outcome else ("0", "", "")
    except BuildError:  # no git on this machine
        when, revision = "0", ""
    when = context.host.env.get("SOURCE_DATE_EPOCH") or when or "0"
    if not when.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH={when!r} is not a number of seconds")
    return int(when), revision


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
