"""What an image is made of: components' settings, labels, the gated binaries of dist/. And images that need no Docker: static
binaries as OCI image layouts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from buildlib import artifacts, build, dist, oci
from buildlib.context import Context
from buildlib.errors import BuildError, Refused, UsageError
from buildlib.files import blob_path, blobs_of, holding, text_of
from buildlib.oci import Runtime
from buildlib.plan import Layout, Status, Step
from buildlib.targets import Target, suggestion
from buildlib.workspace import Component

KINDS = {list: "a list", str: "a string", dict: "a table"}
KEYS = {"base": str, "ports": list, "health": str, "env": dict, "volumes": list}
# The grammar of the distribution specification.
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One component's image, and where it is."""

    component: str
    status: Status
    platforms: tuple[str, ...]
    tags: tuple[str, ...]
    where: str  # the layout's folder, or the repository
    digest: str


def layouts(
    context: Context, targets: tuple[Target, ...], components: tuple[str, ...], tags: tuple[str, ...], output: Path,
    *, compile: bool = True,
) -> list[Made]:  # fmt: skip
    """An OCI image layout with all `targets` for each component, in a folder of its own below `output`; none in a dry run.

    The binaries are compiled first, unless dist/ is to be taken as it is. UsageError for what needs a base image;
    Refused when a binary is missing or is not the one that passed the gate.
    """
    for target in targets:
        if not target.is_musl:
            raise UsageError(
                f"{target.name}: a binary that is linked against glibc needs a base image, and those need Docker",
                f"say --arch {target.name}-musl: a static binary is an image by itself; or --push",
            )
    runtimes = prepare(context, targets, components, tags, compile=compile)
    if context.run.dry:
        return []
    epoch, revision = commit(context)
    with holding(output, lambda: context.console.note(f"{output} is in use, waiting")):
        made = []
        for component, plain in runtimes.items():
            how = replace(plain, labels=labels(component, epoch, revision))
            layers = {
                target.oci: oci.root(component.name, (context.dist / entry["path"]).read_bytes(), how.volumes, epoch)
                for target, entry in gated(context, component, targets).items()
            }
            image = oci.image(layers, how, epoch, oci.packed_layers(blobs_of(output / component.name)))
            made.append(_write(context, component, image, tuple(layers), tags or (component.version,), output))
        return made


def prepare(
    context: Context, targets: tuple[Target, ...], components: tuple[str, ...], tags: tuple[str, ...], *, compile: bool
) -> dict[Component, Runtime]:
    """The components, and how each runs; its binaries are in dist/ when this returns, unless they were not to be compiled."""
    check(targets, tags)
    runtimes = {component: runtime(context, component) for component in context.workspace.pick(components)}
    if compile:
        failed = [result.error for result in build.build(context, targets, components) if result.error]
        if failed:
            raise failed[0]
    return runtimes


def one_each(targets: Iterable[Target], *, static: bool) -> tuple[Target, ...]:
    """Of configured targets, one for each platform: static ones where only those will do, else the others first."""
    chosen: dict[str, Target] = {}
    for target in sorted(targets, key=lambda target: target.is_musl):  # keeps the order otherwise
        if target.is_musl or not static:
            chosen.setdefault(target.oci, target)
    if not chosen:
        raise UsageError("no static target is configured", "say --arch amd64-musl,arm64-musl")
    return tuple(chosen.values())


# --- what the words mean -----------------------------------------------------------------------------------


def check(targets: Iterable[Target], tags: Iterable[str]) -> None:
    """UsageError for two targets that are one platform, or a tag that no registry takes."""
    seen: dict[str, Target] = {}
    for target in targets:
        if target.oci in seen:
            raise UsageError(f"{target.name} and {seen[target.oci].name} are both {target.oci}", "leave one out")
        seen[target.oci] = target
    for tag in tags:
        if not TAG.fullmatch(tag):
            raise UsageError(f"{tag!r} is no tag", "letters, digits, _ . and -, at most 128, no . or - in front")


def runtime(context: Context, component: Component) -> Runtime:
    """What the settings say of the component, read. UsageError names the key that is wrong."""
    known = {part.name for part in context.workspace.components}
    for name in context.config.components:
        if name not in known:
            raise _unknown("components", name, known)
    table = context.config.components.get(component.name, {})
    where = f"components.{component.name}"
    for key, value in table.items():
        if key not in KEYS:
            raise _unknown(where, key, KEYS)
        if not isinstance(value, KEYS[key]):
            raise UsageError(f"settings: {where}.{key} = {value!r} is not {KINDS[KEYS[key]]}")
    return Runtime(
        entrypoint=(f"/usr/bin/{component.name}",),
        ports=tuple(_port(where, port) for port in table.get("ports", ())),
        health=_words(where, table.get("health", "")),
        env={name: _line(where, name, value) for name, value in table.get("env", {}).items()},
        volumes=tuple(_volume(where, volume) for volume in table.get("volumes", ())),
    )


def base(context: Context, component: Component, targets: Iterable[Target]) -> str:
    """What the image stands on: the settings' word, nothing for static binaries, else a Debian that has their glibc."""
    told = context.config.components.get(component.name, {}).get("base")
    return told or ("scratch" if all(target.is_musl for target in targets) else "debian:trixie-slim")


def _line(where: str, name: str, value: Any) -> str:
    if isinstance(value, dict | list) or "\n" in str(value):
        raise UsageError(f"settings: {where}.env: {name} is not one line of text")
    return str(value)


def _unknown(where: str, key: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"settings: {where} has no {key!r}", suggestion(key, sorted(known)))


def _words(where: str, line: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"settings: {where}.health: {error}", "write it as a shell would read it") from None


def _port(where: str, port: Any) -> int:
    if type(port) is int and 0 < port < 65536:
        return port
    raise UsageError(f"settings: {where}.ports: {port!r} is no port", "1 to 65535")


def _volume(where: str, volume: Any) -> str:
    if isinstance(volume, str) and re.fullmatch(r"(/[A-Za-z0-9._-]+)+", volume) and "/.." not in volume:
        return volume
    raise UsageError(f"settings: {where}.volumes: {volume!r} is no folder", "an absolute path")


def labels(component: Component, epoch: int, revision: str) -> Mapping[str, str]:
    """The annotations of the OCI image specification that are known, as labels."""
    known = {
        "title": component.name, "version": component.version, "created": oci.timestamp(epoch), "revision": revision,
        "source": component.repository, "licenses": component.license, "description": component.description,
    }  # fmt: skip
    return {f"org.opencontainers.image.{key}": value for key, value in known.items() if value}


# --- the work ----------------------------------------------------------------------------------------------


def commit(context: Context) -> tuple[int, str]:
    """Seconds since 1970 and the commit: SOURCE_DATE_EPOCH, else the commit's own time, else 0 and none."""
    asked = Step(title="commit", argv=("git", "log", "-1", "--format=%ct %H"), cwd=context.workspace.root,
                 stdout="keep", quiet=True)  # fmt: skip
    try:
        outcome = context.run(asked)
        when, _, revision = outcome.stdout.strip().partition(" ") if outcome else ("0", "", "")
    except BuildError:  # no git on this machine
        when, revision = "0", ""
    when = context.host.env.get("SOURCE_DATE_EPOCH") or when or "0"
    if not when.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH={when!r} is not a number of seconds")
    return int(when), revision


def gated(context: Context, component: Component, targets: Iterable[Target]) -> dict[Target, dist.Entry]:
    """What dist/ has for each target: its entry in the manifest. Refused when the file is not the one that passed the gate."""
    entries = {entry["path"]: entry for entry in dist.entries(text_of(context.dist / "manifest.json"))}
    found = {}
    for target in targets:
        name = f"{target.name}/{component.name}"
        path = context.dist / name
        if name not in entries or not path.is_file():
            raise Refused(f"{path}: is not in dist/", "run `buildlib build`, or leave --no-build out")
        if artifacts.digest(path) != entries[name]["sha256"]:
            raise Refused(f"{path}: is not the file that passed the gate", "run `buildlib build`")
        found[target] = entries[name]
    return found


def _write(
    context: Context, component: Component, image: oci.Image, platforms: tuple[str, ...], tags: tuple[str, ...], output: Path
) -> Made:  # fmt: skip
    folder, index = output / component.name, oci.layout_index(image, tags)
    same = text_of(folder / "index.json").encode() == index
    same = same and all(blob_path(folder, digest).is_file() for digest in image.blobs)
    if not same:
        context.run(Layout(folder=folder, blobs=image.blobs, index=index))
    return Made(
        component=component.name, status=Status.UNCHANGED if same else Status.DONE, platforms=platforms, tags=tags,
        where=str(folder), digest=image.digest,
    )  # fmt: skip
