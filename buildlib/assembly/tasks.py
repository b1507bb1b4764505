"""Run the images of a command at the same time, and record what became of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from buildlib.assembly.spec import ImageResult
from buildlib.binaries.build import status_of
from buildlib.core.errors import BuildError
from buildlib.core.workers import results, workers
from buildlib.process.context import Context

T = TypeVar("T")


def concurrently(context: Context, tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run the tasks concurrently. A task that fails does not stop the others; Ctrl-C stops all of them."""
    # One per processor, but at least two, since a task waits most of the time.
    with workers(context.run.stopped, max(2, os.cpu_count() or 1)) as pool:
        return results(context.run.stopped.check, [pool.submit(task) for task in tasks])


def failed(context: Context, component: str, error: BuildError) -> ImageResult:
    """Show the error of an image, and return the result that has it."""
    context.console.error(error)
    return ImageResult(component=component, status=status_of(error), error=error)


def record(context: Context, result: ImageResult) -> None:
    """Add an image to the history: its platforms with their layers, where it is, and its digest."""
    if not result.error:
        platforms = {platform: result.layers.get(platform, ()) for platform in result.platforms}
        context.history(
            "image", name=result.component, status=result.status.value, digest=result.digest, tags=result.tags,
            where=result.where, platforms=platforms,
        )  # fmt: skip
