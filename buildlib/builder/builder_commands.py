"""The commands `builder`, `builder.create` and `builder.remove`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib.builder import builder
from buildlib.builder.builder import Builder
from buildlib.builder.buildx import succeeded
from buildlib.core.errors import BuildError, MissingRequirements, NothingToDo
from buildlib.core.plan import Step
from buildlib.process.context import Context

NO_BUILDX = "docker has no plugin buildx"
WITHOUT_DOCKER = "install Docker and buildx; images of binaries need neither with --engine none"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderState:
    """The configured builder, whether it exists, and how the existing one differs, one line each."""

    configured: Builder
    exists: bool
    differences: tuple[str, ...]


def inspect(context: Context) -> BuilderState:
    """The builder as configured and as it is. MissingRequirements without Docker or buildx."""
    configured = builder.configured(context.config)
    try:
        answer = context.run(builder.question())
    except MissingRequirements as error:
        raise MissingRequirements(error.message, WITHOUT_DOCKER) from None
    if not answer:
        # Without the plugin docker blames a flag that it does not know, and so does an old buildx.
        first = answer.output.strip().partition("\n")[0] or f"exit code {answer.code}"
        raise MissingRequirements(f"docker buildx: {first}" if buildx_version(context) else NO_BUILDX, WITHOUT_DOCKER)
    existing = builder.find_builder(answer.stdout, configured.name)
    differences = builder.differences(existing, configured) if existing else ()
    return BuilderState(configured=configured, exists=existing is not None, differences=differences)


def buildx_version(context: Context) -> str:
    """The version of docker's plugin buildx, "" if docker has no such plugin."""
    question = Step(title="buildx", argv=("docker", "buildx", "version"), stdout="keep", quiet=True, timeout=60)
    answer = context.run(question)
    return "".join(answer.stdout.split()[1:2]) if answer else ""  # of "github.com/docker/buildx v0.13.1 788433953"


def create(context: Context, *, force: bool) -> BuilderState:
    """Create the configured builder if it is missing, and return what was there before.

    One that differs is a BuildError that lists the differences; with `force` it is recreated. What could not be created completely
    is removed again.
    """
    name = context.config.builder.name
    waiting = f"builder {name}: waiting for another command"
    with context.run.locked(context.host.cache / "builders", waiting):
        state = inspect(context)
        if state.differences and not force:
            listed = "".join(f"\n  {line}" for line in state.differences)
            raise BuildError(
                f"builder {name} differs from the settings:{listed}", "--force recreates it and discards its cache"
            )
        if state.differences:
            succeeded(context.run(builder.remove(name)))
        if state.differences or not state.exists:
            _create(context, state.configured)
        return state


def _create(context: Context, configured: Builder) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for action in builder.create(configured, Path(scratch)):
                succeeded(context.run(action))
        except BaseException:
            context.run.clean_up(replace(builder.remove(configured.name), quiet=True))
            raise


def remove(context: Context) -> None:
    """Remove the configured builder and its cache. NothingToDo when it does not exist."""
    state = inspect(context)
    if not state.exists:
        raise NothingToDo(f"no builder is called {state.configured.name!r}")
    succeeded(context.run(builder.remove(state.configured.name)))
