"""`reproduce`: whether the same sources give the same binaries elsewhere."""

from __future__ import annotations

from typing import Any

from buildlib.cli.cargo_options import CargoOptions, cargo_command
from buildlib.cli.entry import ARCH, JSON, open_workspace, settings_help
from buildlib.process.console import Console


@cargo_command(
    iterable=["arch"],
    help={"arch": f"{ARCH}; default: native", **settings_help("profile", "backend", "glibc"), "json": JSON},
)
def reproduce(
    c: Any, console: Console, cargo: CargoOptions, arch: list[str], backend: str = "", glibc: str = "", json: bool = False
) -> int:  # fmt: skip
    """Build twice, in different directories and as different users, and compare the binaries.

    The second time everything is compiled again. Words after -- are for cargo.
    """
    context = open_workspace(c, console, {**cargo.settings, "backend": backend, "glibc": glibc}, cargo.request)
    from buildlib.binaries import reproduce as binaries
    from buildlib.report.reproduce_table import reproduce as table
    from buildlib.usage import next_command

    comparisons = binaries.reproduce(context, context.targets((*arch, *cargo.targets), "native"))
    table(console, comparisons, as_json=json)
    next_command.after_reproduce(context, comparisons)
    return 1 if any(comparison.difference for comparison in comparisons) else 0
