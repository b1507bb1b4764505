"""`image` and `dockerfile`: images of the binaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildlib.cli.cargo_options import CargoOptions, cargo_command
from buildlib.cli.entry import (
    ARCH,
    COMPONENT,
    JSON,
    SHARD,
    absolute,
    command,
    open_workspace,
    setting_help,
    settings_help,
    split,
    task,
)
from buildlib.core.errors import UsageError
from buildlib.process.console import Console
from buildlib.report.reply import exit_code

if TYPE_CHECKING:
    from buildlib.assembly.spec import ImageResult
    from buildlib.images.image import ImageOptions
    from buildlib.process.context import Context


@cargo_command(
    iterable=["arch", "tag", "attest"],
    help={
        "arch": f"{ARCH}; default: all, one per platform; with --load native",
        "component": COMPONENT,
        "lib": "refused: images are made of binaries",
        "example": "refused: images are made of binaries",
        "tag": "tags; default: the component's version, latest for an image of the settings, and with --push also latest",
        "push": "to the registry: by digest, checked, then tagged",
        "load": "into the Docker daemon, for one platform",
        "output": "OCI image layouts, a directory per component; without Docker for static binaries",
        **settings_help("profile", "engine", "registry", "builder.cache"),
        "build": "take dist/ as it is, without compiling",
        "in_docker": "compile in a container: the stage `compile` of the Dockerfile",
        "network": "with --in-docker: `host` lets the compilation use this machine's network",
        "check_bases": "report base images with newer digests; exit code 1 if there are any; nothing is built",
        "sign": setting_help("signing.key"),
        "attest": setting_help("signing.attest"),
        "shard": SHARD,
        "force": "ignore caches; recreate the builder if it differs from the settings",
        "strict": "refuse a Dockerfile in which `lint` finds something",
        "json": JSON,
    },
)
def image(
    c: Any, console: Console, cargo: CargoOptions, arch: list[str], tag: list[str], attest: list[str], push: bool = False,
    load: bool = False, output: str = "", engine: str = "", registry: str = "", build: bool = True, in_docker: bool = False,
    cache: str = "", network: str = "", sign: str = "", force: bool = False, strict: bool = False, check_bases: bool = False,
    shard: str = "", json: bool = False,
) -> int:  # fmt: skip
    """Multi-platform images of the binaries, and of the Dockerfiles in the settings. Without an output they are only checked."""
    _check_outputs(push + load + bool(output) + check_bases, push=push, shard=bool(shard), signed=bool(sign or attest))
    if network not in ("", "host"):
        raise UsageError(f"unknown network {network!r} (expected host)", "leave it out for the builder's own")
    if (network or cache) and not in_docker:
        raise UsageError("--network and --cache need --in-docker", "add --in-docker, or leave them out")
    if cargo.request.library or cargo.request.examples:
        raise UsageError("images are made of binaries", "leave out --lib and --example")
    flags: dict[str, Any] = {**cargo.settings, "engine": engine, "registry": registry}
    flags["signing"] = signing_flags(sign, attest)
    if cache:
        flags["builder"] = {"cache": cache if cache == "registry" else absolute(cache)}
    context = open_workspace(c, console, flags, cargo.request, scope="project", recorded=True)
    from buildlib.assembly.spec import one_per_platform
    from buildlib.images import image as images
    from buildlib.images.in_container import ContainerOptions
    from buildlib.report import image_tables
    from buildlib.usage import after_parts, next_command

    words = (*arch, *cargo.targets)
    targets = context.targets(words, "native" if load else "all")
    context, names = context.with_images()
    if check_bases:
        return _check_bases(context, console, names, tag, as_json=json)
    options = images.ImageOptions(
        targets=targets if words else one_per_platform(targets), named=bool(words or load), images=names,
        tags=tuple(split(tag)), compile=build, force=force, strict=strict,
        container=ContainerOptions(network=network) if in_docker else None,
    )  # fmt: skip
    if shard:
        results = _make_part(context, options, shard, words, push=push)
    elif output:
        results = images.save(context, options, Path(absolute(output)))
    else:
        results = (images.push if push else images.load if load else images.check)(context, options)
    image_tables.image(console, results, as_json=json)
    if shard:
        after_parts.after_part(context, results if push else ())
        return exit_code(results)
    kind = "save" if output else "push" if push else "load" if load else ""
    next_command.after_image(context, results, options.targets, kind)
    return exit_code(results)


def signing_flags(sign: str, attest: Sequence[str] = ()) -> dict[str, Any]:
    """The settings that --sign and --attest override."""
    from buildlib.core.signing_settings import VARIABLE

    signing = {"key": sign if sign.startswith(VARIABLE) else absolute(sign), "attest": split(attest)}
    return {name: value for name, value in signing.items() if value}


def _check_outputs(count: int, *, push: bool, shard: bool, signed: bool) -> None:
    """UsageError for outputs that exclude each other, or the rest of the options. `count` is that of the outputs."""
    if count > 1:
        raise UsageError("choose one of --push, --load, --output DIR and --check-bases")
    if shard and count and not push:
        raise UsageError("--shard is for --push, or for a check without an output", "leave out the other output")
    if shard and signed:
        raise UsageError("a part is not signed: its index does not exist yet", "buildlib merge --sign KEY DIST…")
    if signed and not push:
        raise UsageError("signatures and attestations are beside an image in its registry", "add --push")


def _make_part(
    context: Context, options: ImageOptions, shard: str, words: tuple[str, ...], *, push: bool
) -> list[ImageResult]:
    """Make the images for the platforms of this machine's part; those that are pushed are recorded for `merge`."""
    from buildlib.assembly.spec import check_options
    from buildlib.binaries import dist
    from buildlib.images import image as images
    from buildlib.images.dockerfile_image import targets_of
    from buildlib.shards import record
    from buildlib.shards.part import part_of

    check_options(options.targets, options.tags)  # those of all parts: an index has one image for a platform
    part = part_of(context, shard, words)
    own = part.own(options.targets)
    names = tuple(name for name in options.images if targets_of(context, name, own, named=True))
    options = replace(options, targets=own, named=True, images=names, is_part=True)
    recording = record.start(context, part, "image") if push else None
    some = own and (names or not context.request.no_binaries)
    results = (images.push if push else images.check)(context, options) if some else []
    if recording and not any(result.error for result in results):
        made = {f"{target.name}/{result.component}" for target in own for result in results if result.part}
        recording.images(results, (entry for entry in dist.read(context.dist) if entry["path"] in made))
    return results


def _check_bases(context: Context, console: Console, images: tuple[str, ...], tag: list[str], *, as_json: bool) -> int:
    from buildlib.images.bases import check_bases
    from buildlib.report import image_tables

    states = check_bases(context, images, (split(tag) or [""])[0])
    image_tables.bases(console, states, as_json=as_json)
    return 1 if any(state.is_newer for state in states) else 0


@task(help={"write": "write Dockerfile.multiarch, which `image` then uses as it is", "json": JSON})
@command
def dockerfile(c: Any, console: Console, write: bool = False, json: bool = False) -> None:
    """The Dockerfile of the images, made from the settings."""
    context = open_workspace(c, console)
    from buildlib.images import workspace_dockerfile
    from buildlib.machine.docker_daemon import has_buildx
    from buildlib.report import texts
    from buildlib.usage import next_command

    root = context.workspace.root
    files = workspace_dockerfile.write(context) if write else workspace_dockerfile.files(context, root)
    written = write and not context.run.dry
    texts.dockerfile(console, files, written=written, as_json=json)
    words = ["dockerfile", "--write"]
    if written:
        words = next_command.with_builder(context) if has_buildx(context.host.env) else []
    next_command.show(console, words, dry=write and not written)
