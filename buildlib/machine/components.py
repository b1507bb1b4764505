"""The components that a request names: binaries of the workspace, and images of the settings. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase

from buildlib.core.errors import UsageError
from buildlib.core.request import Request
from buildlib.core.targets import suggestion
from buildlib.machine.selection import ALL, matching
from buildlib.machine.workspace import Workspace


def split(workspace: Workspace, request: Request, images: Iterable[str]) -> tuple[Request, tuple[str, ...]]:
    """What `request` asks of the workspace, and the names of the images that it means.

    `images` are the names in the settings. Without a component it means all of both; packages and other words of cargo's mean
    binaries alone. UsageError for a component that is neither.
    """
    names = tuple(images)
    of_cargo = request.packages or request.exclude or request.workspace or replace(request, components=()).names_targets
    if not request.components:
        # A workspace without binaries is an error only where nothing else is meant.
        none = names and not of_cargo and not workspace.components
        return replace(request, no_binaries=True) if none else request, () if of_cargo else names
    binaries: list[str] = []
    chosen: set[str] = set()
    for word in request.components:
        pattern = "*" if word == ALL else word
        found = {name for name in names if fnmatchcase(name, pattern)}
        chosen |= found
        if matching(workspace, word):
            binaries.append(word)
        elif not found:
            known = [*(component.name for component in workspace.components), *names]
            raise UsageError(f"unknown component {word!r}", suggestion(word, known))
    if of_cargo and not binaries:
        message = f"{', '.join(sorted(chosen))} {'is an image' if len(chosen) == 1 else 'are images'} of the settings"
        raise UsageError(message, "leave out the options that choose packages and binaries")
    left = replace(request, components=tuple(binaries), no_binaries=not binaries)
    return left, tuple(name for name in names if name in chosen)
