"""Which Dockerfile images are built from: the workspace's own, or one made from the settings."""

from __future__ import annotations

from pathlib import Path

from buildlib.core.errors import Refused, UsageError
from buildlib.core.plan import Write
from buildlib.images import dockerfile, spec
from buildlib.lint import command as lint
from buildlib.machine.installation import DISTRIBUTION
from buildlib.machine.workspace import Component
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.registry.session import Session


def is_own(context: Context) -> bool:
    """Whether the workspace has a Dockerfile that somebody wrote, or changed."""
    text = read_text(context.workspace.root / dockerfile.NAME)
    return bool(text) and not dockerfile.is_generated(text)


def is_out_of_date(context: Context) -> bool:
    """Whether its Dockerfile was made from other settings than today's."""
    text = read_text(context.workspace.root / dockerfile.NAME)
    return dockerfile.is_generated(text) and text != render(context)


def render(context: Context, only: Component | None = None) -> str:
    """The Dockerfile that the settings make, of all components or of one."""
    components = (only,) if only else context.workspace.pick(())
    stages = {component.name: spec.stage_of(context, component) for component in components}
    return dockerfile.render(stages, context.config.builder.compiler, _requirements())


def _requirements() -> list[str]:
    """What buildlib itself needs in a container, and the host tools that crates may run there."""
    from importlib.metadata import requires  # 20 ms that no other command needs

    lines = (requirement.partition(";") for requirement in requires(DISTRIBUTION) or ())
    return [name.strip() for name, _, marker in lines if not marker or "host-tools" in marker]


def file_of(context: Context, scratch: Path, only: Component | None = None) -> Path:
    """The workspace's own Dockerfile, or one made in `scratch` from the settings: of all components, or of one."""
    if is_own(context):
        return context.workspace.root / dockerfile.NAME
    for action in files(context, scratch, only):
        context.run(action)
    return scratch / dockerfile.NAME


def files(context: Context, folder: Path, only: Component | None = None) -> tuple[Write, Write]:
    """The Dockerfile of all components, or of one, and its .dockerignore, in `folder`."""
    root = context.workspace.root
    outputs = [path for path in (context.workspace.target_dir, context.dist) if path.is_relative_to(root)]
    ignored = dockerfile.ignored(str(path.relative_to(root)) for path in outputs)
    file = folder / dockerfile.NAME
    return (
        Write(path=file, text=render(context, only)),
        Write(path=file.with_name(f"{file.name}.dockerignore"), text=ignored),
    )


def write(context: Context) -> tuple[Write, ...]:
    """Write both files into the workspace; an existing .dockerignore stays.

    UsageError where there is a Dockerfile that somebody wrote, or changed.
    """
    if is_own(context):
        raise UsageError(
            f"{dockerfile.NAME} exists and was not made by buildlib, or was changed since",
            "compare it with `buildlib dockerfile`, or remove it first",
        )
    file, ignored = files(context, context.workspace.root)
    written = (file,) if ignored.path.exists() else (file, ignored)
    for action in written:
        context.run(action)
    return written


def base_context(context: Context, session: Session, base: str) -> dict[str, str]:
    """The build context that makes BuildKit find a base image through the gateway.

    Nothing without a base image, and where BuildKit asks registries directly. The base images of the workspace's own Dockerfile
    are not known.
    """
    if not base or session.direct or is_own(context):
        return {}
    return {base: f"docker-image://{session.name(base)}"}


def lint_before_build(context: Context, *, strict: bool) -> None:
    """Lint the workspace's own Dockerfile: warn of what is found, or raise Refused with `strict`."""
    if not is_own(context):
        return
    linted = lint.lint([context.workspace.root / dockerfile.NAME], context.config, context.workspace.root)
    findings = [finding for finding in linted.findings if finding.severity != "info"]
    for finding in findings:
        context.console.warn(f"{dockerfile.NAME}:{finding.line}: {finding.message} [{finding.rule}]")
    if findings and strict:
        summary = lint.summary(linted).partition(", ")[2]
        raise Refused(f"{dockerfile.NAME}: {summary}", f"buildlib lint {dockerfile.NAME}")
