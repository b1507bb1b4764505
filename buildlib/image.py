"""What an image is made of: components' settings, labels, the gated binaries of dist/. And images that need no Docker: static
binaries as OCI image layouts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from buildlib import artifacts, dist, dockerfile, oci
from buildlib.context import Context
from buildlib.dockerfile import Part
from buildlib.errors import BuildError, Refused, UsageError
from buildlib.files import blob_files, blob_path, text_of
from buildlib.oci import Runtime
from buildlib.plan import Layout, Status, Step
from buildlib.targets import Target, find, suggestion
from buildlib.workspace import Component

KINDS = {list: "a list", str: "a string", dict: "a table"}
KEYS = {"base": str, "program": str, "ports": list, "health": str, "env": dict, "volumes": list, "says": dict}
# The grammar of the distribution specification.
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
REGISTRY = re.compile(rf"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]+)?(?:/{_PART})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One component's image, and where it is; or why it is not."""

    component: str
    status: Status
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    where: str = ""  # the layout's folder, the repository, or the name in the daemon
    digest: str = ""
    error: BuildError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One component's image as it is asked for."""

    component: Component
    part: Part  # how it runs, labels included
    tags: tuple[str, ...]
    entries: Mapping[Target, dist.Entry]  # its binaries in dist/, gated

    @property
    def platforms(self) -> tuple[str, ...]:
        return tuple(target.oci for target in self.entries)


def prepare(context: Context, targets: tuple[Target, ...], components: tuple[str, ...], tags: tuple[str, ...]) -> None:
    """UsageError for what is wrong with the words and the settings, before anything is compiled."""
    check(targets, tags)
    if is_out_of_date(context):
        context.console.warn(f"{dockerfile.NAME} is not what the settings make now; cure: buildlib dockerfile --write")
    for component in context.workspace.pick(components):
        part(context, component)
        if component.name.lower() in dockerfile.STAGES and not own_dockerfile(context):
            raise UsageError(
                f"{component.name!r} is the name of another stage of the Dockerfile",
                f"`buildlib dockerfile --write`, and name the stages in {dockerfile.NAME} yourself",
            )


def wanted(
    context: Context, targets: tuple[Target, ...], components: tuple[str, ...], tags: tuple[str, ...], epoch: int, revision: str
) -> list[Wanted]:  # fmt: skip
    """The images, when the binaries are there; tagged with the component's version when no tag is given. Refused when a
    binary is missing, or is not the one that passed the gate."""
    found = []
    for component in context.workspace.pick(components):
        plain = part(context, component)
        how = replace(plain.runtime, labels=labels(component, epoch, revision))
        found.append(
            Wanted(component=component, part=replace(plain, runtime=how), tags=tags or (component.version,),
                   entries=gated(context, component, targets))
        )  # fmt: skip
    return found


def needs_docker(context: Context, targets: tuple[Target, ...], components: tuple[str, ...]) -> bool:
    """Whether there is more in the images than static binaries: a base image, or a Dockerfile of the workspace's own."""
    stands = any(part(context, component).base for component in context.workspace.pick(components))
    return stands or own_dockerfile(context) or not all(target.is_musl for target in targets)


def own_dockerfile(context: Context) -> bool:
    """Whether the workspace has a Dockerfile that somebody wrote, or changed."""
    text = text_of(context.workspace.root / dockerfile.NAME)
    return bool(text) and not dockerfile.is_as_made(text)


def is_out_of_date(context: Context) -> bool:
    """Whether its Dockerfile is one that the settings made when they were others."""
    text = text_of(context.workspace.root / dockerfile.NAME)
    return dockerfile.is_as_made(text) and text != dockerfile_text(context)


def dockerfile_text(context: Context, only: Component | None = None) -> str:
    """The Dockerfile that the settings make, of all components or of one."""
    parts = {
        component.name: part(context, component) for component in ((only,) if only else context.workspace.pick(()))
    }
    return dockerfile.render(parts, context.config.builder["compiler"], _requirements())


def _requirements() -> list[str]:
    """What buildlib itself needs in a container, and the host tools that crates may run there."""
    from importlib.metadata import requires  # 20 ms that no other command needs

    told = (requirement.partition(";") for requirement in requires("buildlib") or ())
    return [name.strip() for name, _, marker in told if not marker or "host-tools" in marker]


def layouts(context: Context, images: Iterable[Wanted], epoch: int, output: Path) -> list[Made]:
    """An OCI image layout of static binaries for each image, in a folder of its own below `output`."""
    made = []
    for image in images:
        how = image.part.runtime
        layers = {
            target.oci: oci.root(how.entrypoint[0], (context.dist / entry["path"]).read_bytes(), how.volumes, epoch)
            for target, entry in image.entries.items()
        }
        old = {digest: path.read_bytes() for digest, path in blob_files(output / image.component.name).items()}
        made.append(write(context, image, oci.image(layers, how, epoch, oci.packed_layers(old)), output))
    return made


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


def part(context: Context, component: Component) -> Part:
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
    runtime = Runtime(
        entrypoint=(_path(where, "program", table.get("program", f"/usr/bin/{component.name}")),),
        ports=tuple(_port(where, port) for port in table.get("ports", ())),
        health=_words(where, table.get("health", "")),
        env={name: _line(where, name, value) for name, value in table.get("env", {}).items()},
        volumes=tuple(_path(where, "volumes", volume) for volume in table.get("volumes", ())),
    )
    says = {arch: _lines(f"{where}.says", arch, told) for arch, told in table.get("says", {}).items()}
    return Part(runtime=runtime, base=table.get("base", ""), says=says)


def _lines(where: str, arch: str, told: Any) -> tuple[str, ...]:
    """What a service says at its start on an arch, or on `all`."""
    if arch != "all" and find(arch).name != arch:
        raise UsageError(f"settings: {where}: {arch!r}", f"write it as {find(arch).name}")
    if not isinstance(told, list) or not all(isinstance(text, str) and text for text in told):
        raise UsageError(f"settings: {where}: {arch} = {told!r} is no list of texts")
    return tuple(told)


def registry(context: Context) -> str:
    """HOST/PATH that the components' names are put behind. UsageError without one, or for what is none."""
    told = context.config.registry
    if not told:
        raise UsageError("no registry to push to", "say --registry HOST/PATH, or set `registry`")
    if not REGISTRY.fullmatch(told):
        cure = f"did you mean {told.lower()!r}?" if REGISTRY.fullmatch(told.lower()) else "write it as ghcr.io/acme"
        raise UsageError(f"registry: {told!r} is no name of a repository", cure)
    return told


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


def _path(where: str, key: str, path: Any) -> str:
    if isinstance(path, str) and re.fullmatch(r"(/[A-Za-z0-9._-]+)+", path) and "/.." not in path:
        return path
    raise UsageError(f"settings: {where}.{key}: {path!r} is no path", "an absolute one, of letters, digits, . _ -")


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


def write(context: Context, image: Wanted, data: oci.Image, output: Path) -> Made:
    """The layout in `output`/<component>, which is left alone when it is this one already."""
    folder, index = output / image.component.name, oci.layout_index(data, image.tags)
    same = text_of(folder / "index.json").encode() == index
    same = same and all(blob_path(folder, digest).is_file() for digest in data.blobs)
    if not same:
        context.run(Layout(folder=folder, blobs=data.blobs, index=index))
    return Made(
        component=image.component.name, status=Status.UNCHANGED if same else Status.DONE, platforms=image.platforms,
        tags=image.tags, where=str(folder), digest=data.digest,
    )  # fmt: skip
