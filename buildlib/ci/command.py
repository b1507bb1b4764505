"""The command `ci`: the pipeline of a workspace, and what its repository needs for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from buildlib.ci import github, gitlab, project
from buildlib.ci.project import Project
from buildlib.ci.registry_login import login
from buildlib.core.errors import UsageError
from buildlib.core.targets import suggestion
from buildlib.process.console import Console
from buildlib.process.context import Context

SYSTEMS = ("github", "gitlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A file for a CI system. `secrets` are the names of what its repository must have, `notes` say what to do with the file."""

    text: str
    secrets: tuple[str, ...]
    notes: tuple[str, ...]


def ci(context: Context, system: str, install: str) -> Pipeline:
    """Return the pipeline for `system`. `install` is the command that installs buildlib in a job, "" for the source of this one.

    Raises:
        UsageError: the system is unknown, no arch is configured, or something cannot stand in a pipeline.
    """
    if system not in SYSTEMS:
        raise UsageError(f"unknown CI system {system!r} (expected {' or '.join(SYSTEMS)})", suggestion(system, SYSTEMS))
    config, console = context.config, context.console
    targets = context.targets((), "all")  # a pipeline for no architecture would succeed and do nothing
    workspace = project.of(context.workspace, config)
    install = install or project.install_command(context.workspace.root, *(["cache"] if config.cache.compiler else []))
    if system == "gitlab":
        text = gitlab.pipeline(config, install, workspace, targets)
        names = gitlab.variables(config)
    else:
        text = github.workflow(config, install, workspace)
        names = (
            (*login(config.registry).secrets, *project.image_secrets(config), *project.signing_secrets(config))
            if config.registry
            else ()
        )
    _warn(console, workspace, install)
    return Pipeline(text=text, secrets=tuple(names), notes=tuple(_notes(workspace, system, ", ".join(names))))


def _warn(console: Console, workspace: Project, install: str) -> None:
    if "git+file:" in install:
        console.warn("buildlib was installed from a repository on this machine, which only a runner on it can reach")
    if workspace.rust and not workspace.noxfile:
        console.warn(f"the jobs call nox, but there is no {workspace.prefix}noxfile.py; write one: {project.NOXFILE}")


def _notes(workspace: Project, system: str, names: str) -> Iterator[str]:
    is_gitlab = system == "gitlab"
    if workspace.directory and is_gitlab:
        yield "save it as .gitlab-ci.yml at the root of the repository, or start it from there as a child pipeline"
    elif workspace.directory:
        yield "save it in .github/workflows at the root of the repository"
    if names and is_gitlab:
        yield f"the pipeline needs CI/CD variables of the project: {names}"
    elif names:
        yield f"the workflow needs secrets of the repository: {names}"
