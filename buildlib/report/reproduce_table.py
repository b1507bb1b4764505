"""How the result of `reproduce` is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildlib.core.errors import BuildError
from buildlib.report import results as data
from buildlib.report.reply import reply

if TYPE_CHECKING:
    from buildlib.binaries.reproduce import Comparison
    from buildlib.process.console import Console


def reproduce(console: Console, comparisons: Sequence[Comparison], *, as_json: bool) -> None:
    """Print one row per file, and below where each that differs does so first, and what makes the difference."""
    if as_json:
        rows: list[data.ComparisonData] = [
            {
                "arch": found.target.name,
                "binary": found.name,
                "sha256": found.sha256,
                "identical": not found.difference,
                "difference": found.difference,
                "origins": list(found.origins),
                **reply([_error(found)]),
            }
            for found in comparisons
        ]
        console.json(rows)
        return
    if comparisons:
        console.table(
            ("arch", "binary", "sha256", "status"),
            ((c.target.name, c.name, c.sha256[:12], "differs" if c.difference else "identical") for c in comparisons),
        )
    for found in comparisons:
        if error := _error(found):
            console.failure(error.message)


def _error(found: Comparison) -> BuildError | None:
    if not found.difference:
        return None
    return BuildError("; ".join((f"{found.target.name}/{found.name}: {found.difference}", *found.origins)))
