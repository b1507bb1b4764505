"""The command `image`: compile the binaries, then build all images and push, load or save them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildlib.assembly import spec
from buildlib.assembly.assembly import Assembly
from buildlib.assembly.local import Keep, Load, Save
from buildlib.assembly.push import Push
from buildlib.assembly.push_part import PushPart
from buildlib.assembly.run import Task, run_all
from buildlib.assembly.spec import ImageResult, ImageSpec
from buildlib.assembly.tasks import failed
from buildlib.binaries import build
from buildlib.builder import builder_commands
from buildlib.core.errors import BuildError, UsageError
from buildlib.core.plan import Status
from buildlib.core.targets import Target
from buildlib.image_gate.scans import Scans
from buildlib.images import (
    binary_image,
    contents,
    dockerfile,
    dockerfile_image,
    in_container,
    without_engine,
    workspace_dockerfile,
)
from buildlib.images.binary_assembly import BinaryAssembly
from buildlib.images.dockerfile_assembly import DockerfileAssembly
from buildlib.images.dockerfile_image import DockerfileImage
from buildlib.images.in_container import ContainerOptions
from buildlib.process.commit import commit
from buildlib.process.context import Context
from buildlib.registry import session

if TYPE_CHECKING:
    from types import ModuleType

    from buildlib.assembly.direct_tasks import DirectAssembly, DirectPush, DirectTask
    from buildlib.signing.signer import Signer

# What makes images without an engine. It takes as long to import as all else together: it has the client of registries.
WORKSHOP = "buildlib.images.workshop"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """The options of the command line. Empty `tags` mean the default tags."""

    targets: tuple[Target, ...]
    named: bool = True  # whether the command line names the targets
    images: tuple[str, ...] = ()  # images of the settings
    tags: tuple[str, ...] = ()
    compile: bool = True  # False: use the binaries that are in dist/
    container: ContainerOptions | None = None  # compile in a container
    force: bool = False  # ignore what is cached; recreate a builder that differs
    strict: bool = False  # refuse a Dockerfile in which lint finds something
    is_part: bool = False  # other machines make the other platforms: no tag is moved


OwnImages = Mapping[str, Mapping[str, str]]  # the reference of another component -> platform -> digest


def push(context: Context, options: ImageOptions) -> list[ImageResult]:
    """Push every component's image for all targets to the configured registry; a dry run pushes nothing.

    If an image failed or was refused, its result contains the error, and its tags in the registry are unchanged.
    """
    prefix = spec.registry(context)

    def place(image: ImageSpec) -> dict[str, Any]:
        # The distribution specification allows no upper case in the names of repositories.
        tags = options.tags or tuple(dict.fromkeys((*image.tags, "latest")))
        return {"repository": f"{prefix}/{image.name.lower()}", "tags": tags, "signer": signer}

    def direct(tasks: ModuleType, assembly: DirectAssembly) -> DirectTask:
        kind: type[DirectPush] = tasks.DirectPushPart if options.is_part else tasks.DirectPush
        return kind(assembly=assembly, **place(assembly.image))

    kind = PushPart if options.is_part else Push
    with nullcontext() if options.is_part else _signer(context) as signer:  # `merge` signs the whole
        if without_engine.is_chosen(context, options):
            return _without_engine(context, options, direct)
        return _through_buildx(context, options, lambda assembly: kind(assembly=assembly, **place(assembly.image)))


def _signer(context: Context) -> AbstractContextManager[Signer | None]:
    """The signer of the command, as of `opened_signer`."""
    if not (context.config.signing.key or context.config.signing.attest):
        return nullcontext()
    from buildlib.signing.signer import opened_signer

    return opened_signer(context)


def load(context: Context, options: ImageOptions) -> list[ImageResult]:
    """Load every component's image into the Docker daemon. UsageError for several platforms: it holds one per image."""
    without_engine.is_chosen(context, options, "--load")
    if len(options.targets) != 1:
        names = ",".join(target.name for target in options.targets)
        help_text = "use --arch for one of them, or --output DIR for all"
        raise UsageError(f"--load takes one platform, not {names}", help_text)
    prefix = f"{spec.registry(context)}/" if context.config.registry else ""

    def make(assembly: Assembly) -> Load:
        return Load(assembly=assembly, repository=f"{prefix}{assembly.name.lower()}")

    return _through_buildx(context, options, make)


def check(context: Context, options: ImageOptions) -> list[ImageResult]:
    """Build and check every component's image for all targets, and publish nothing."""
    if without_engine.is_chosen(context, options):
        return _without_engine(context, options, lambda tasks, assembly: tasks.DirectCheck(assembly=assembly))
    return _through_buildx(context, options, lambda assembly: Keep(assembly=assembly))


def save(context: Context, options: ImageOptions, output: Path) -> list[ImageResult]:
    """Write every component's image for all targets as an OCI layout below `output`. Static binaries alone need no engine."""
    is_static = not options.images and not without_engine.has_more(context, options.targets)
    if is_static or without_engine.is_chosen(context, options):
        return _without_engine(
            context, options, lambda tasks, assembly: tasks.DirectSave(assembly=assembly, output=output), output
        )
    return _through_buildx(context, options, lambda assembly: Save(assembly=assembly, output=output), output)


def validate(context: Context, options: ImageOptions) -> None:
    """UsageError for wrong options, before anything is compiled."""
    spec.check_options(options.targets, options.tags)
    if workspace_dockerfile.is_out_of_date(context):
        context.console.warn(f"{dockerfile.NAME} differs from the settings; help: buildlib dockerfile --write")
    if workspace_dockerfile.is_own(context):
        return
    for component in context.selection.components:
        contents.contents(context.workspace.root, component.name, binary_image.stage_of(context, component))
        if component.name.lower() in dockerfile.STAGES:
            raise UsageError(
                f"{component.name!r} is the name of another stage of the Dockerfile",
                f"run `buildlib dockerfile --write` and rename the stages in {dockerfile.NAME}",
            )


def _locked(context: Context, output: Path | None) -> AbstractContextManager[None]:
    """The lock of a directory that is written, once everything else has succeeded: an error does not create it."""
    return context.run.locked(output, f"waiting for another command that writes {output}") if output else nullcontext()


def _without_engine(
    context: Context, options: ImageOptions, make: Callable[[ModuleType, DirectAssembly], DirectTask], output: Path | None = None
) -> list[ImageResult]:  # fmt: skip
    """Make all images without a container engine. `make` gets the module of their tasks, which is imported late."""
    validate(context, options)
    epoch, revision = commit(context)
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(import_module, WORKSHOP)  # cargo is waited for
        context, absent = _compile(context, options, epoch, revision)
    if context.run.dry:
        without_engine.show(context, options)
        return []
    from buildlib.assembly import direct_tasks
    from buildlib.images.workshop import workshop

    images = binary_image.binary_images(context, options.targets, options.tags, epoch, revision)
    with _locked(context, output), workshop(context, epoch, fresh=options.force) as shop:
        results = run_all(context, [make(direct_tasks, shop.assembly(image)) for image in images], ())
    return [*(result for result, _ in results), *absent]


def _through_buildx(
    context: Context, options: ImageOptions, make: Callable[[Assembly], Task], output: Path | None = None
) -> list[ImageResult]:
    """Build all images, concurrently where none is based on another: buildx mostly waits for the network and the builder."""
    validate(context, options)
    described = dockerfile_image.describe(context, options.images, options.targets, options.tags, named=options.named)
    groups = dockerfile_image.order(described.images, (component.name for component in context.selection.components))
    workspace_dockerfile.lint_before_build(context, [image.file for image in described.images], strict=options.strict)
    dockerfile_image.refuse_emulated_compilers(context, described.images)
    prepared = session.prepare(context)
    if context.run.dry:
        builder_commands.inspect(context)
    else:
        builder_commands.create(context, force=options.force)
    from buildlib.images.bases import checked_bases

    digests = checked_bases(context, described.images, strict=options.strict)
    epoch, revision = commit(context)
    context, absent = _compile(context, options, epoch, revision)
    binaries = (
        [] if context.run.dry else binary_image.binary_images(context, options.targets, options.tags, epoch, revision)
    )
    scans = Scans()
    with (
        _locked(context, output),
        tempfile.TemporaryDirectory() as scratch,
        session.open_session(context, prepared) as registries,
    ):

        def assemble(image: ImageSpec, own: Mapping[str, str], own_images: OwnImages) -> Task:
            common: dict[str, Any] = {
                "context": context, "image": image, "scratch": Path(scratch) / image.name, "epoch": epoch,
                "fresh": options.force, "session": registries,
            }  # fmt: skip
            if not isinstance(image, DockerfileImage):
                return make(BinaryAssembly(**common))
            assembly = DockerfileAssembly(
                **common, own=own, own_images=own_images, bases=digests[image.name], scans=scans
            )
            return make(assembly) if image.published else Keep(assembly=assembly)

        if context.run.dry:
            for image in described.images:
                task = assemble(image, image.own, {})
                (task if isinstance(task, Push) else task.assembly).show()
            return []
        results = _run_groups(context, [*binaries, *described.images], groups, assemble)
    return [*results, *described.left_out, *absent]


def _run_groups(
    context: Context, images: Sequence[ImageSpec], groups: Iterable[Iterable[str]],
    assemble: Callable[[ImageSpec, Mapping[str, str], OwnImages], Task],
) -> list[ImageResult]:  # fmt: skip
    """Build the images of each group concurrently, with the images of earlier groups as build contexts.

    Returns the results of those that are published.
    """
    by_name = {image.name: image for image in images}
    bases = {name for image in images for name in image.own.values()}
    contexts: dict[str, str] = {}  # of those that others are based on
    results: dict[str, ImageResult] = {}
    for group in groups:
        tasks = []
        for image in (by_name[name] for name in group if name in by_name):
            missing = [name for name in image.own.values() if name not in contexts]
            if missing:
                cause = (
                    results[missing[0]].error if missing[0] in results else None
                )  # None for a binary that cargo leaves out
                kind = type(cause) if cause else BuildError
                error = kind(f"{image.name}: its base image {missing[0]} failed", "the error of that image says why")
                results[image.name] = failed(context, image.name, error)
                continue
            own = {reference: contexts[name] for reference, name in image.own.items()}
            tasks.append(
                assemble(image, own, {reference: results[name].images for reference, name in image.own.items()})
            )
        for task, (result, built) in zip(tasks, run_all(context, tasks, bases), strict=True):
            results[task.assembly.name] = result
            if built:
                contexts[task.assembly.name] = built
    return [results[image.name] for image in images if image.published or results[image.name].error]


def _compile(context: Context, options: ImageOptions, epoch: int, revision: str) -> tuple[Context, list[ImageResult]]:
    """Compile the binaries into dist/ if the options say so.

    Returns the context of those that exist, and the results of the others, which cargo leaves out for their features.
    """
    if not context.selection.components:
        return context, []
    context, absent = build.without_left_out(context)
    if options.container:
        container = replace(options.container, fresh=options.force)
        in_container.compile_in_container(context, options.targets, revision, epoch, container)
    elif options.compile:
        results = build.build(context, options.targets)
        if errors := [result.error for result in results if result.error]:
            raise errors[0]
    status = Status.LEFT_OUT
    return context, [ImageResult(component=name, status=status, where=why) for name, why in absent.items()]
