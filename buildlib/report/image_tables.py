"""Results of `image` and the commands of the builder, for users and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildlib.core.errors import BuildError
from buildlib.process.console import Console
from buildlib.report.reply import reply

if TYPE_CHECKING:
    from buildlib.assembly.spec import ImageResult
    from buildlib.builder.builder_commands import BuilderState
    from buildlib.builder.step_times import StepTime
    from buildlib.images.bases import BaseState
    from buildlib.report import results as data


def image(console: Console, images: Sequence[ImageResult], *, as_json: bool) -> None:
    """Print the result of `image`: one row per image, and what emulation cost."""
    from buildlib.builder.step_times import HELP, summary

    if as_json:
        rows: list[data.ImageData] = [
            {
                "component": i.component, "status": i.status.value, "digest": i.digest, "platforms": list(i.platforms),
                "tags": list(i.tags), "where": i.where, "code": i.error.code if i.error else 0,
                "error": i.error.message if i.error else None, "signed": list(i.signed),
                "steps": [_step_data(step) for step in i.steps], "not_started": list(i.not_started),
                **reply([i.error]),
            }
            for i in images
        ]  # fmt: skip
        console.json(rows)
    elif images:
        console.table(
            ("image", "platforms", "tags", "digest", "status"),
            (
                (i.where or i.component, ", ".join(i.platforms), ", ".join(i.tags), i.digest.removeprefix("sha256:")[:12],
                 i.status.value)
                for i in images
            ),
            important=("image", "status", "digest"),
        )  # fmt: skip

    for image in images:
        if text := summary(image.steps):
            console.warn(f"{image.component}: {text}; help: {HELP}")


def _step_data(step: StepTime) -> data.StepTimeData:
    return {
        "title": step.title, "platform": step.platform, "target": step.target, "stage": step.stage,
        "seconds": round(step.seconds, 3), "emulated": step.emulated,
    }  # fmt: skip


def bases(console: Console, states: Sequence[BaseState], *, as_json: bool) -> None:
    """Print the result of `image --check-bases`: one row per component and base image."""
    if as_json:
        rows: list[data.BaseData] = [
            {
                "component": s.component,
                "base": s.base,
                "recorded": s.recorded,
                "current": s.current,
                "newer": s.is_newer,
                **reply([_newer(s)]),
            }
            for s in states
        ]
        console.json(rows)
    elif states:
        console.table(
            ("component", "base image", "recorded", "current", "state"),
            (
                (s.component, s.base, s.recorded.removeprefix("sha256:")[:12], s.current.removeprefix("sha256:")[:12],
                 "newer" if s.is_newer else "current")
                for s in states
            ),
        )  # fmt: skip
    else:
        console.line("no base image is recorded: it is with the next `image --push`")


def _newer(state: BaseState) -> BuildError | None:
    if not state.is_newer:
        return None
    return BuildError(f"{state.component}: {state.base} is now {state.current}", "build the image again")


def builder(console: Console, state: BuilderState, *, as_json: bool) -> None:
    """Print whether the builder exists, and how it differs from the settings."""
    if as_json:
        result: data.BuilderData = {
            "name": state.configured.name,
            "there": state.exists,
            "differs": list(state.differences),
            **reply(_problems(state)),
        }
        console.json(result)
        return
    matches = "matches the settings" if state.exists else "does not exist"
    console.line(f"builder {state.configured.name}: {'differs from the settings:' if state.differences else matches}")
    for line in state.differences:
        console.line(f"  {line}")
    if state.differences or not state.exists:
        console.line(f"  help: {_create(state)}")


def _create(state: BuilderState) -> str:
    return f"buildlib builder.create{' --force' if state.differences else ''}"


def _problems(state: BuilderState) -> list[BuildError]:
    name = f"builder {state.configured.name}"
    if not state.exists:
        return [BuildError(f"{name} does not exist", _create(state), "builder")]
    return [BuildError(f"{name}: {line}", _create(state), "builder") for line in state.differences]


def changed_builder(console: Console, name: str, action: data.BuilderAction, *, dry: bool, as_json: bool) -> None:
    """Print what has been done with the builder, or would be done in a dry run."""
    if as_json:
        result: data.ChangedBuilderData = {"name": name, "action": action, "dry": dry, **reply()}
        console.json(result)
    elif not dry:
        console.line(f"builder {name}: {action}")
