"""The command `image`: binaries first, then all images side by side, to where they were asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib import build, engine, image, linting, uplink
from buildlib.assemble import Assembly
from buildlib.context import Context
from buildlib.engine import Inside
from buildlib.errors import BuildError, Interrupted, UsageError
from buildlib.files import holding
from buildlib.image import Made
from buildlib.local import Keep, Load
from buildlib.push import Push
from buildlib.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says. `tags` is empty for the usual ones."""

    targets: tuple[Target, ...]
    components: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    compile: bool = True  # False takes dist/ as it is
    inside: Inside | None = None  # compile in a container
    force: bool = False  # forget what is cached; make the builder anew when it differs
    attested: tuple[str, ...] = ()
    strict: bool = False  # refuse a Dockerfile that lint finds something in


Order = Push | Keep | Load


def push(context: Context, asked: Asked) -> list[Made]:
    """Every component's image for all targets, in the registry of the settings; none in a dry run. One that fails, or is
    refused because it is not what was asked for, says so; its tags are where they were."""
    host = image.registry(context)

    def order(assembly: Assembly) -> Push:
        # The whole name in small letters: that is the grammar of the distribution specification.
        repository = f"{host}/{assembly.name.lower()}"
        tags = asked.tags or (*assembly.image.tags, "latest")
        return Push(assembly=assembly, repository=repository, tags=tags)

    return _through_buildx(context, asked, order)


def load(context: Context, asked: Asked) -> list[Made]:
    """Every component's image for one platform, in the Docker daemon. UsageError for several: it holds one."""
    if len(asked.targets) != 1:
        names = ",".join(target.name for target in asked.targets)
        raise UsageError(
            f"--load takes one platform, not {names}", "say --arch for one of them, or --output DIR for all"
        )
    if asked.attested:
        raise UsageError("the Docker daemon takes no attestations", "say --push or --output DIR")
    host = f"{image.registry(context)}/" if context.config.registry else ""
    return _through_buildx(
        context, asked, lambda assembly: Load(assembly=assembly, repository=f"{host}{assembly.name.lower()}")
    )


def keep(context: Context, asked: Asked, output: Path) -> list[Made]:
    """Every component's image for all targets as an OCI image layout below `output`. Static binaries need no Docker for it."""
    if asked.attested or image.needs_docker(context, asked.targets, asked.components):
        with _held(context, output):
            return _through_buildx(context, asked, lambda assembly: Keep(assembly=assembly, output=output))
    image.prepare(context, asked.targets, asked.components, asked.tags)
    epoch, revision = _compile(context, asked)
    if context.run.dry:
        return []
    images = image.wanted(context, asked.targets, asked.components, asked.tags, epoch, revision)
    with _held(context, output):
        return image.layouts(context, images, epoch, output)


@contextmanager
def _held(context: Context, output: Path):
    if context.run.dry:
        yield
        return
    with holding(output, lambda: context.console.note(f"{output} is in use, waiting")):
        yield


def _through_buildx(context: Context, asked: Asked, order: Callable[[Assembly], Order]) -> list[Made]:
    """All images, side by side: buildx waits for the network and the builder most of the time."""
    image.prepare(context, asked.targets, asked.components, asked.tags)
    linting.before(context, strict=asked.strict)
    foreseen = uplink.foresee(context, attested=bool(asked.attested))
    if context.run.dry:
        engine.inspect(context)
    else:
        engine.create(context, force=asked.force)
    epoch, revision = _compile(context, asked)
    if context.run.dry:
        return []
    images = image.wanted(context, asked.targets, asked.components, asked.tags, epoch, revision)
    with tempfile.TemporaryDirectory() as scratch, uplink.opened(context, foreseen) as way:
        orders = [
            order(
                Assembly(
                    context=context, image=wanted, scratch=Path(scratch) / wanted.component.name, epoch=epoch,
                    fresh=asked.force, attested=asked.attested, uplink=way,
                )
            )
            for wanted in images
        ]  # fmt: skip
        return _all(context, orders)


def _all(context: Context, orders: list[Order]) -> list[Made]:
    """One that fails does not keep the others from it; Ctrl-C ends all of them."""
    with ThreadPoolExecutor(max_workers=_side_by_side()) as pool:
        futures = [pool.submit(_one, context, order) for order in orders]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            context.run.stop()
            raise


def _one(context: Context, order: Order) -> Made:
    try:
        return order()
    except Interrupted:
        raise
    except BuildError as error:
        context.console.explain(error)
        return Made(component=order.assembly.name, status=build.status_of(error), error=error)


def _side_by_side() -> int:
    """As many as there are processors, and two on a small machine: one waits while the other works."""
    return max(2, os.cpu_count() or 1)


def _compile(context: Context, asked: Asked) -> tuple[int, str]:
    """The binaries are in dist/ when this returns, unless it is to be taken as it is. The commit's time and name."""
    epoch, revision = image.commit(context)
    if asked.inside:
        inside = replace(asked.inside, fresh=asked.force)
        engine.compile(context, asked.targets, asked.components, revision, epoch, inside)
    elif asked.compile:
        failed = [result.error for result in build.build(context, asked.targets, asked.components) if result.error]
        if failed:
            raise failed[0]
    return epoch, revision
