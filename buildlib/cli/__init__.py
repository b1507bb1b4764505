"""The command line: `namespace` is the collection of commands that a project's tasks.py imports.

Read `collection` for the list of commands, `commands/` for each, `entry` for what all of them share, `app` for the console script.
Nothing below imports this package.
"""

from buildlib.cli import import_invoke  # noqa: F401  # before all that imports Invoke
from buildlib.cli.collection import namespace

__all__ = ["namespace"]
