"""The names of crates in Cargo.lock and in this package's tables: what every build compares first, without parsing either."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

TABLES = ("host_tools.toml", "libraries.toml")
NAME = re.compile(r'^name = "([^"]+)"', re.MULTILINE)


def locked(lock: str) -> frozenset[str]:
    """Return the names of all packages in the text of a Cargo.lock: everything that any build of the workspace compiles."""
    return frozenset(NAME.findall(lock))


def known(variables: Collection[str]) -> frozenset[str]:
    """Return the crates that may need something of the machine.

    A row with `when` counts only if one of `variables` has such a name. The crate system-deps is a row of its own, in a sense.
    """
    rows = [
        row
        for table in TABLES
        for row in Path(__file__).with_name(table).read_text(encoding="utf-8").split("[[crate]]")[1:]
    ]
    names = {"system-deps"}
    for row in rows:
        when = re.search(r"^when = \[(.*)\]", row, re.MULTILINE)
        asked = re.findall(r'"([^"]+)"', when[1]) if when else None
        if asked is None or any(name in variable for name in asked for variable in variables):
            names.update(NAME.findall(row)[:1])
    return frozenset(names)
