"""The workspace as a pipeline sees it: where it is in the repository that a job checks out, and how a job installs buildlib."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from buildlib.core.errors import UsageError
from buildlib.core.image_settings import secret_variable
from buildlib.core.settings import Config
from buildlib.machine import installation
from buildlib.machine.installation import Source
from buildlib.machine.workspace import Workspace

NOXFILE = "from buildlib.sessions import sessions; sessions()"
# What is only text to YAML (spaces inside of a name, too), to GitHub's expressions and patterns, and to GitLab's variables.
NAME = r"[\w.+]([\w.+ -]*[\w.+-])?"
PATH = re.compile(f"{NAME}(/{NAME})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Paths are relative to the repository: `directory` is "" for a workspace at its root, the others are "" outside of it."""

    directory: str = ""
    build: str = "target/buildlib"  # compiled files, and the reports below it
    dist: str = "dist"
    rust: bool = True
    binaries: bool = True
    noxfile: bool = True

    @property
    def prefix(self) -> str:
        """What precedes the name of a file of the workspace."""
        return f"{self.directory}/" if self.directory else ""

    @property
    def is_divided(self) -> bool:
        """Whether each arch is a part, which a job builds, tests and uploads, and which `merge` joins."""
        return bool(self.rust and self.binaries and self.dist)

    @property
    def locks(self) -> tuple[str, ...]:
        """The files that say what is compiled with which compiler: Cargo.lock, and rust-toolchain.toml there or above."""
        parts = Path(self.directory).parts
        above = ("/".join((*parts[:count], "rust-toolchain.toml")) for count in range(len(parts), -1, -1))
        return (f"{self.prefix}Cargo.lock", *above)


def of(workspace: Workspace, config: Config) -> Project:
    """The project of a workspace. UsageError for a directory whose name cannot stand in a pipeline."""
    root = workspace.root.resolve()
    repository = repository_of(root)

    def inside(path: Path) -> str:
        path = Path(os.path.normpath(path))
        return path.relative_to(repository).as_posix() if path.is_relative_to(repository) else ""

    directory = "" if root == repository else inside(root)
    project = Project(
        directory=directory, build=inside(workspace.target_dir.resolve() / "buildlib"), dist=inside(root / config.dist),
        rust=workspace.has_rust, binaries=bool(workspace.components), noxfile=(root / "noxfile.py").is_file(),
    )  # fmt: skip
    for path in filter(None, (project.directory, project.build, project.dist)):
        if not PATH.fullmatch(path):
            message = f"{path!r}: a pipeline cannot contain this path"
            raise UsageError(message, "use letters, digits, spaces, '.', '_', '-' and '+' in names of directories")
    return project


def install_command(root: Path, *extras: str) -> str:
    """The command that installs the running buildlib with `extras` in a job, which runs in the directory of the workspace `root`.

    A git repository is installed at its commit, a directory inside the workspace's own repository by its relative path. UsageError
    for any other source: a job does not have this machine's files, and an archive or a package index names no commit.
    """
    source = installation.source()
    directory = source.directory.resolve() if source.directory else None
    if source.repository:
        words = source.requirement("host-tools", *extras)
    elif directory and directory.is_relative_to(repository_of(root)):
        inside = Source(directory=directory, editable=source.editable)
        words = inside.requirement("host-tools", *extras, relative_to=root.resolve())
    else:
        origin = source.directory or source.url or "a package index"
        raise UsageError(
            f"this buildlib was installed from {origin}, which a pipeline cannot use",
            "pass the command that installs it in a job: buildlib ci --install 'pip install …'",
        )
    return installation.pip_command(words)


def repository_of(root: Path) -> Path:
    """The directory that a job checks out; the workspace itself outside a git repository."""
    root = root.resolve()
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)


def checked_name(key: str, value: str) -> str:
    """The value of the setting `key`, if it is only text to YAML, to a CI system's expressions and to a shell."""
    if not re.fullmatch(r"[\w.-]+(:\d+)?", value):
        raise UsageError(
            f"{key} = {value!r}: expected letters, digits, '.', '_' and '-'", "for example ubuntu-24.04-arm"
        )
    return value


def image_secrets(config: Config) -> tuple[str, ...]:
    """The variables that images need as secrets; a pipeline takes them from the repository's secrets of the same names."""
    images = config.images.values()
    names = {name for image in images for text in image.secrets if (name := secret_variable(text))}
    return tuple(checked_name("images.*.secrets", name) for name in sorted(names))


def signing_secrets(config: Config) -> tuple[str, ...]:
    """The variables that signatures need as secrets."""
    signing = config.signing.secrets() if config.signing.key else ()
    return tuple(checked_name("signing.key", name) for name in sorted(signing))
