"""What the scripts have in common: commands, their options, and the fixed values."""

from __future__ import annotations

from collections.abc import Iterable

from buildlib.core.targets import TARGETS
from buildlib.usage.help_pages import Command
from buildlib.usage.option_table import GLOBAL, OF_WORKSPACE, Option

ASK = "buildlib completion --values"  # the command that prints the values of a kind


def options(command: Command) -> tuple[Option, ...]:
    """All options that a command takes."""
    return (*command.options, *GLOBAL)


def with_values(command: Command) -> list[Option]:
    """The options whose values can be completed."""
    return [one for one in options(command) if one.takes_value and one.row.kind != "text"]


def fixed(option: Option) -> tuple[str, ...]:
    """The values that are known without a workspace; none for files and for what the workspace has."""
    kind = option.row.kind
    if kind == "arch":
        return (*TARGETS, "all", "native")
    if kind == "triple":
        return tuple(target.triple for target in TARGETS.values())
    return option.row.choices


def asked(option: Option) -> str:
    """The kind of value that only the workspace knows, "" for another."""
    return option.row.kind if option.row.kind in OF_WORKSPACE else ""


def takes_commas(option: Option) -> bool:
    """Whether the value may be a list with commas."""
    return ",…" in option.row.value or option.row.kind == "arch"


def quoted(text: str) -> str:
    """The text in single quotes, for bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


def spaced(words: Iterable[str]) -> str:
    """The words in one string."""
    return " ".join(words)
