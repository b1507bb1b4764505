"""The values that only the workspace knows. Nothing is written, installed or downloaded, and no error is shown."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from buildlib.core import layers
from buildlib.core.errors import BuildError
from buildlib.machine.workspace import Workspace, find_project
from buildlib.process.console import Console
from buildlib.process.context import read_workspace

# bash expands what `compgen -W` is given: a name such as $(…) of a workspace that nobody has read would run.
SAFE = re.compile(r"\w[\w.+@/-]*")
PROFILES = ("dev", "release", "test", "bench")  # cargo's own


def values(kind: str, env: Mapping[str, str], cwd: Path) -> list[str]:
    """The values of a kind in the workspace of `cwd`, sorted; none where there is no workspace, or it cannot be read.

    A name that a shell might take for something else is left out.
    """
    return sorted(name for name in _values(kind, env, cwd) if SAFE.fullmatch(name))


def _values(kind: str, env: Mapping[str, str], cwd: Path) -> set[str]:
    try:
        file = find_project(cwd)
        if kind == "profile":
            return {*PROFILES, *_profiles(_root(file, env))}
        images = _images(file.parent) if kind == "component" else ()
        if file.name != "Cargo.toml":
            return {*images}
        workspace = read_workspace(Console(env, quiet=True), env, file.parent)
        if kind == "component" and workspace.root != file.parent:
            images = _images(workspace.root)
        return {*images, *_of(workspace, kind)}
    except (BuildError, OSError):
        return set()


def _root(file: Path, env: Mapping[str, str]) -> Path:
    """The directory of the workspace's own Cargo.toml, which alone may have profiles."""
    return read_workspace(Console(env, quiet=True), env, file.parent).root if file.name == "Cargo.toml" else file.parent


def _of(workspace: Workspace, kind: str) -> Iterable[str]:
    match kind:
        case "component" | "binary":
            return (component.name for component in workspace.components)
        case "package":
            return (package.name for package in workspace.members)
        case "example":
            return (name for package in workspace.members for name in package.examples)
        case "feature":
            return (name for package in workspace.members for name in package.features)
    return ()


def _images(root: Path) -> tuple[str, ...]:
    """The names of the images of the settings."""
    found = (layer.get("images") for _, layer in layers.files(root))
    return tuple(name for images in found if isinstance(images, Mapping) for name in images)


def _profiles(root: Path) -> tuple[str, ...]:
    """The names of the profiles of a Cargo.toml."""
    try:
        profiles = tomllib.loads((root / "Cargo.toml").read_text(encoding="utf-8-sig")).get("profile")
    except (ValueError, RecursionError):
        return ()
    return tuple(profiles) if isinstance(profiles, dict) else ()
