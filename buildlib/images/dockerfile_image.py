"""The images that Dockerfiles of the project describe: what each is built from, checked before anything starts."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from buildlib.assembly.spec import ImageResult, ImageSpec
from buildlib.base_images import dockerfile
from buildlib.base_images.dockerfile import Sources
from buildlib.builder.step_times import HELP, native_platforms
from buildlib.core import image_settings
from buildlib.core.errors import Refused, UsageError
from buildlib.core.image_settings import Image
from buildlib.core.plan import Status
from buildlib.core.targets import Target, find_target
from buildlib.core.targets import select as select_targets
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.smoke.expectation import Expectation

TAG = "latest"  # an image from a Dockerfile has no version


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileImage(ImageSpec):
    """An image from a Dockerfile."""

    settings: Image
    file: Path
    folder: Path  # the build context
    sources: Sources  # what the Dockerfile names
    secrets: tuple[str, ...]  # values of --secret


def located(context: Context, name: str) -> tuple[Path, Path]:
    """The Dockerfile of an image and its build context. UsageError if one is missing, or the context is outside of the repository."""
    settings, root = context.config.images[name], context.workspace.root
    folder = root / settings.context
    if not folder.is_dir():
        raise UsageError(
            f"images.{name}.context: {settings.context} is not a directory", "write it relative to the project"
        )
    repository = next((one for one in (root, *root.parents) if (one / ".git").exists()), root)
    if not folder.resolve().is_relative_to(repository.resolve()):
        help_text = "an image is made of what the repository has: move it there"
        raise UsageError(f"images.{name}.context: {settings.context} is outside of the repository", help_text)
    found = {
        path.resolve(): path for path in (folder / settings.dockerfile, root / settings.dockerfile) if path.is_file()
    }
    if not found:
        message = f"images.{name}.dockerfile: {settings.dockerfile} is neither in the project nor in {settings.context}"
        raise UsageError(message, "write it relative to one of them")
    if len(found) > 1 and not settings.dockerfile.startswith("./"):
        message = f"images.{name}.dockerfile: {settings.dockerfile} is in the project and in {settings.context}"
        raise UsageError(message, f"write ./{settings.dockerfile} for that of the project")
    return next(reversed(found.values())), folder


def read(context: Context, name: str, targets: Sequence[Target]) -> tuple[Path, Path, Sources]:
    """The Dockerfile of an image, its build context, and what a build for `targets` uses. UsageError for a file that is wrong."""
    (file, folder), settings, root = located(context, name), context.config.images[name], context.workspace.root
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    here = find_target(context.host.machine).oci
    # A node builds for its own platforms, whichever they are; without nodes all are built here.
    builds = {} if context.config.builder.nodes else {target.oci: here for target in targets}
    sources = dockerfile.read(
        text, {key: argument(value) for key, value in settings.build_args.items()}, settings.target,
        title=str(file.relative_to(root)) if file.is_relative_to(root) else str(file),
        for_platforms=[target.oci for target in targets], build_platforms=builds,
    )  # fmt: skip
    for base in sources.bases:
        if base.missing:
            arguments = " and ".join(base.missing)
            help_text = f"give a default in the Dockerfile, or set it in images.{name}.build-args"
            raise UsageError(f"{base.where}: {base.instruction} {base.text}: no value for {arguments}", help_text)
    given = {image_settings.secret(text)[0] for text in settings.secrets}
    if missing := [secret.id for secret in sources.secrets if secret.required and secret.id not in given]:
        message = f"images.{name}: the Dockerfile requires the secret {missing[0]}"
        raise UsageError(message, f"add it to images.{name}.secrets")
    return file, folder, sources


def components_of(context: Context) -> tuple[str, ...]:
    """The names of all components."""
    return (*context.config.images, *(component.name for component in context.workspace.components))


def argument(value: str | float | bool) -> str:
    """A build argument as a word of the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def targets_of(context: Context, name: str, targets: Sequence[Target], *, named: bool) -> tuple[Target, ...]:
    """The targets of an image: its own platforms, of which `targets` are chosen if the command line has `named` some.

    A platform is built once: that of arm64-musl is arm64's. () if none is left.
    """
    own = context.config.images[name].platforms
    wanted = {target.oci: find_target(target.arch) for target in targets}
    if not own:
        return tuple(wanted.values())
    configured = {target.oci: find_target(target.arch) for target in select_targets(own, own, context.host.machine)}
    return tuple(target for platform, target in configured.items() if not named or platform in wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The images of a command, with those that they are based on, and the results of those that have none of the platforms."""

    images: list[DockerfileImage]
    left_out: list[ImageResult]


def describe(
    context: Context, names: Sequence[str], targets: Sequence[Target], tags: tuple[str, ...], *, named: bool
) -> Described:
    """The images `names` of the settings for `targets`, which the command line has `named` or not.

    UsageError for whatever is wrong with them, and if none has any of the named platforms.
    """
    chosen = {name: targets_of(context, name, targets, named=named) for name in names}
    left_out = [
        ImageResult(component=name, status=Status.LEFT_OUT, where=f"{name} is not for {_names(targets)}")
        for name, own in chosen.items() if not own
    ]  # fmt: skip
    if names and len(left_out) == len(names) and not context.selection.components:
        help_text = "name one of its platforms with --arch, or add the platform to the settings"
        raise UsageError("; ".join(result.where for result in left_out), help_text)
    images: dict[str, DockerfileImage] = {}
    queue = [name for name in names if chosen[name]]
    while queue:
        name = queue.pop(0)
        image = _image(context, name, chosen[name], tags, published=name in names)
        images[name] = image
        for base in image.own.values():
            if base not in context.config.images:
                continue
            before = chosen.get(base, ())
            # Those that it has: what is missing is an error below.
            chosen[base] = tuple(dict.fromkeys((*before, *targets_of(context, base, image.targets, named=True))))
            if base not in images or chosen[base] != before:
                queue.append(base)
    _check_bases(context, images)
    return Described(images=list(images.values()), left_out=left_out)


def _image(
    context: Context, name: str, targets: tuple[Target, ...], tags: tuple[str, ...], *, published: bool
) -> DockerfileImage:
    file, folder, sources = read(context, name, targets)
    own = references(context, sources, name, components_of(context))
    return DockerfileImage(
        name=name, targets=targets, tags=tags or (TAG,), settings=context.config.images[name], file=file, folder=folder,
        sources=sources, own=own, published=published, secrets=secrets(context, name),
    )  # fmt: skip


def _check_bases(context: Context, images: Mapping[str, DockerfileImage]) -> None:
    """UsageError for an image that is based on a component without its platforms, or on a binary that is not in the call."""
    binaries = {component.name for component in context.selection.components}
    for image in images.values():
        for reference, base in image.own.items():
            if base in images:
                missing = [target for target in image.targets if target not in images[base].targets]
                if missing:
                    help_text = f"add it to images.{base}.platforms, or leave it out with --arch"
                    raise UsageError(f"{image.name}: its base image {base} is not for {_names(missing)}", help_text)
            elif base not in binaries:
                raise UsageError(f"{image.name}: its base image {reference} is not built", f"add --component {base}")


def _names(targets: Iterable[Target]) -> str:
    return ", ".join(target.name for target in targets)


def references(context: Context, sources: Sources, name: str, components: Iterable[str]) -> dict[str, str]:
    """The references of a Dockerfile that mean another component, and its name.

    That is its name alone, or its name in the registry, with the tag `latest` or without one. FROM redis in the image redis is the
    one of the registry.
    """
    prefix = f"{context.config.registry}/" if context.config.registry else ""
    own: dict[str, str] = {}
    for image in (image for base in sources.bases for image in base.images.values()):
        for component in components:
            names = {component.lower(), f"{prefix}{component.lower()}"}
            reference = image.name.removesuffix(f":{TAG}")
            if reference in names and not (component == name and "/" not in reference):
                own[image.name] = component
    return own


def order(images: Iterable[DockerfileImage], others: Iterable[str]) -> list[list[str]]:
    """The names of all images in groups: those of a group need only images of groups before. `others` are binaries.

    UsageError for images that are based on each other.
    """
    sorter = TopologicalSorter({image.name: set(image.own.values()) for image in images})
    for name in others:
        sorter.add(name)
    try:
        sorter.prepare()
    except CycleError as error:
        names = " → ".join(reversed(error.args[1]))
        raise UsageError(
            f"images that are based on each other: {names}", "let one of them begin with another image"
        ) from None
    groups = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        groups.append(ready)
        sorter.done(*ready)
    return groups


def secrets(context: Context, name: str) -> tuple[str, ...]:
    """The values of --secret, whose contents the runner hides from now on. UsageError for a secret that does not exist."""
    result, missing = [], []
    for text in context.config.images[name].secrets:
        identity, variable, file = image_settings.secret(text)
        path = context.workspace.root / Path(file).expanduser()
        value = context.host.env.get(variable, "") if variable else read_text(path)
        context.run.hidden[f"{name}/{identity}"] = value
        if file and not path.is_file():
            missing.append(f"the file {file} does not exist")
        elif variable and variable not in context.host.env:
            missing.append(f"the variable {variable} is not set")
        result.append(f"id={identity},src={path}" if file else f"id={identity},env={variable}")
    for text in context.config.images[name].ssh:
        if text == "default" and not context.host.env.get("SSH_AUTH_SOCK"):
            missing.append("no SSH agent runs (SSH_AUTH_SOCK is not set)")
    if missing:
        raise UsageError(f"images.{name}: {'; '.join(missing)}", "set what is missing, or leave it out of the settings")
    return tuple(result)


def refuse_emulated_compilers(context: Context, images: Iterable[DockerfileImage]) -> None:
    """Refused if the settings forbid that a compiler runs under emulation, and a build would start one."""
    if context.config.builder.emulated_compilers != "error":
        return
    from buildlib.lint.emulated import emulated_compiles  # loads a grammar

    native, lines = native_platforms(context.host.machine, context.config), []
    for image in images:
        emulated = [target.name for target in image.targets if target.oci not in native]
        args = {name: argument(value) for name, value in image.settings.build_args.items()}
        found = emulated_compiles(image.file, image.file.read_bytes(), args, image.settings.target) if emulated else ()
        lines += [f"{image.name}: {image.file.name}:{one.line}: {one.message} ({', '.join(emulated)})" for one in found]
    if lines:
        raise Refused("\n".join(lines), f"{HELP}; or set builder.emulated_compilers")


def expectation(name: str, settings: Image) -> Expectation:
    """What must hold for the containers of an image."""
    health = tuple(shlex.split(settings.health))
    return Expectation(name=name, ports=settings.ports, health=health, env=settings.env, says=settings.says)
