"""The commands of the collection as the pages of help and completion need them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING

from buildlib.cli.collection import namespace

if TYPE_CHECKING:
    from buildlib.usage.help_pages import Command

# Commands whose words are paths or values, and the option that these become.
POSITIONAL = {
    "verify": "--path", "explain": "--file", "lint": "--path", "completion": "--shell", "sign": "--path", "merge": "--result",
}  # fmt: skip


def names() -> Iterator[str]:
    """Yield the names of the commands, as they are typed: `builder` and not `builder.inspect`."""
    for name, aliases in namespace.task_names.items():
        yield aliases[0] if aliases else name


def describe(name: str) -> Command:
    """The command of this name."""
    from buildlib.usage.help_pages import Command  # late, as the table: a command that runs needs neither
    from buildlib.usage.option_table import option

    task = namespace[name]
    options = [option(name, argument) for argument in task.get_arguments(ignore_unknown_help=True)]
    words = POSITIONAL.get(name, "")
    arguments = next((one for one in options if words in one.words), None)
    text = inspect.cleandoc(task.__doc__ or "")
    return Command(name=name, text=text, options=tuple(one for one in options if one != arguments), arguments=arguments)


def outline() -> tuple[Command, ...]:
    """Every command without its options, as the page of the program shows it."""
    from buildlib.usage.help_pages import Command

    return tuple(
        Command(name=name, text=inspect.cleandoc(namespace[name].__doc__ or ""), options=()) for name in names()
    )


def describe_all() -> tuple[Command, ...]:
    """Every command."""
    return tuple(map(describe, names()))
