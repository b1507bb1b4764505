"""The Dockerfile that images are built from: the workspace's own, or one that is rendered from the settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from buildlib.core.errors import MissingRequirements, Refused, UsageError
from buildlib.core.plan import Write
from buildlib.images import binary_image, dockerfile
from buildlib.machine.installation import DISTRIBUTION
from buildlib.machine.workspace import Component
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.registry.session import Session


def is_own(context: Context) -> bool:
    """Whether the workspace has a Dockerfile that was written or edited by a user."""
    text = read_text(context.workspace.root / dockerfile.NAME)
    return bool(text) and not dockerfile.is_generated(text)


def is_out_of_date(context: Context) -> bool:
    """Whether the workspace has a Dockerfile that was rendered from other settings, and not edited."""
    text = read_text(context.workspace.root / dockerfile.NAME)
    return dockerfile.is_generated(text) and text != render(context)


def render(context: Context, only: Component | None = None) -> str:
    """The text of the Dockerfile that follows from the settings, for all components or for one."""
    components = (only,) if only else context.workspace.components
    stages = {component.name: binary_image.stage_of(context, component) for component in components}
    return dockerfile.render(stages, context.config.builder.compiler, _requirements())


def _requirements() -> list[str]:
    """The Python packages that buildlib needs in a container, with the host tools that crates may run there."""
    from importlib.metadata import PackageNotFoundError, requires  # 20 ms that no other command needs

    try:
        lines = [requirement.partition(";") for requirement in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:  # on PYTHONPATH
        raise MissingRequirements(f"{DISTRIBUTION} is not installed", f"pip install {DISTRIBUTION}") from None
    return [name.strip() for name, _, marker in lines if not marker or "host-tools" in marker]


def file_of(context: Context, scratch: Path, only: Component | None = None) -> Path:
    """The workspace's own Dockerfile, or one that is written to `scratch`, for all components or for one."""
    if is_own(context):
        return context.workspace.root / dockerfile.NAME
    for action in files(context, scratch, only):
        context.run(action)
    return scratch / dockerfile.NAME


def files(context: Context, folder: Path, only: Component | None = None) -> tuple[Write, Write]:
    """The actions that write the Dockerfile, for all components or for one, and its .dockerignore into `folder`."""
    root = context.workspace.root
    outputs = [path for path in (context.workspace.target_dir, context.dist) if path.is_relative_to(root)]
    named = [name for settings in context.config.components.values() for name in settings.files]
    ignored = dockerfile.ignored((str(path.relative_to(root)) for path in outputs), named)
    file = folder / dockerfile.NAME
    return (
        Write(path=file, text=render(context, only)),
        Write(path=file.with_name(f"{file.name}.dockerignore"), text=ignored),
    )


def write(context: Context) -> tuple[Write, ...]:
    """Write both files into the workspace, and return what was written; a .dockerignore of the user's is kept.

    UsageError if there is a Dockerfile that was written or edited by a user.
    """
    if is_own(context):
        raise UsageError(
            f"{dockerfile.NAME} exists, and was not written by buildlib or was edited since",
            "compare it with `buildlib dockerfile`, or remove it first",
        )
    file, ignored = files(context, context.workspace.root)
    kept, lines = read_text(ignored.path).splitlines(), ignored.text.splitlines()
    # One that differs only in the files of images was written for other settings.
    keeps = ignored.path.exists() and _excluding(kept) != _excluding(lines)
    if keeps and (absent := [line for line in lines if line.startswith("!") and line not in kept]):
        context.console.warn(f"{ignored.path.name} is kept; if it excludes files of an image, add {' '.join(absent)}")
    written = (file,) if keeps else (file, ignored)
    for action in written:
        context.run(action)
    return written


def _excluding(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("!")]


def base_context(context: Context, session: Session, base: str) -> dict[str, str]:
    """The named build context that makes BuildKit pull a base image through the gateway.

    {} without a base image or gateway, and for the workspace's own Dockerfile, whose base images are not known.
    """
    if not base or session.direct or is_own(context):
        return {}
    return {base: f"docker-image://{session.name(base)}"}


def lint_before_build(context: Context, files: Iterable[Path], *, strict: bool) -> None:
    """Lint Dockerfiles that users wrote, the workspace's own included: findings are warnings; with `strict` they raise Refused."""
    own = [context.workspace.root / dockerfile.NAME] if context.selection.components and is_own(context) else []
    paths = [*own, *files]
    if not paths:
        return
    from buildlib.lint import command as lint  # loads grammars, which generated Dockerfiles do not need

    root = context.workspace.root
    linted = lint.lint(paths, context.config, root)
    allowed = {"emulated-compile"} if context.config.builder.emulated_compilers == "allow" else frozenset()
    findings = [one for one in linted.findings if one.severity != "info" and one.rule not in allowed]
    title = {str(path): str(path.relative_to(root)) if path.is_relative_to(root) else str(path) for path in paths}
    for finding in findings:
        context.console.warn(f"{title[finding.file]}:{finding.line}: {finding.message} [{finding.rule}]")
    if findings and strict:
        names = " ".join(dict.fromkeys(title[finding.file] for finding in findings))
        raise Refused(f"{names}: {lint.summary(linted).partition(', ')[2]}", f"buildlib lint {names}")
