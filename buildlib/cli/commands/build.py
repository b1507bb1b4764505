"""`build`: binaries."""

from __future__ import annotations

from typing import Any

from buildlib.cli.cargo_options import CargoOptions, cargo_command
from buildlib.cli.entry import ARCH, JSON, absolute, open_workspace, settings_help
from buildlib.process.console import Console
from buildlib.report.reply import exit_code


@cargo_command(
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: native",
        **settings_help("profile", "backend", "glibc", "target_dir", "dist"),
        "json": JSON,
    },
)
def build(
    c: Any, console: Console, cargo: CargoOptions, arch: list[str], backend: str = "", glibc: str = "", target_dir: str = "",
    dist: str = "", json: bool = False,
) -> int:  # fmt: skip
    """Compile, verify, and put the binaries into dist/<arch>/.

    Words after -- are for cargo.
    """
    flags = {
        **cargo.settings, "backend": backend, "glibc": glibc, "target_dir": absolute(target_dir), "dist": absolute(dist),
    }  # fmt: skip
    context = open_workspace(c, console, flags, cargo.request, recorded=True)
    from buildlib.binaries import build as binaries
    from buildlib.report import tables
    from buildlib.usage import next_command

    results = binaries.build(context, context.targets((*arch, *cargo.targets), "native"))
    tables.build(console, results, as_json=json)
    next_command.after_build(context, results)
    return exit_code(results)
