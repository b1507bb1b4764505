"""Run the tasks of a command, one for each image, and record what has become of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from buildlib.assembly.local import Keep, Load, Save
from buildlib.assembly.push import Push
from buildlib.assembly.spec import ImageResult
from buildlib.assembly.tasks import concurrently, failed, record
from buildlib.builder.step_times import summary
from buildlib.core.errors import BuildError, Interrupted
from buildlib.process.context import Context

if TYPE_CHECKING:
    from buildlib.assembly.direct_tasks import DirectTask

Task = Push | Save | Load | Keep


def run_all(
    context: Context, tasks: Sequence[Task | DirectTask], bases: Collection[str]
) -> list[tuple[ImageResult, str]]:
    """Run the tasks concurrently, and return for each what `_run_one` does. `bases` names the images that others are based on."""
    return concurrently(context, [partial(_run_one, context, task, task.assembly.name in bases) for task in tasks])


def _run_one(context: Context, task: Task | DirectTask, is_base: bool) -> tuple[ImageResult, str]:
    """The result of the task, and the image as a build context if others are based on it."""
    try:
        result = task()
        built = task.context(result) if is_base and isinstance(task, Task) else ""
    except Interrupted:
        raise
    except BuildError as error:
        result, built = failed(context, task.assembly.name, error), ""
    result = replace(result, steps=task.assembly.steps)
    if text := summary(result.steps):
        context.history("emulation", name=result.component, text=text)
    record(context, result)
    return result, built
