"""`build`: binaries."""

from __future__ import annotations

from typing import Any

from invoke.tasks import task

from buildlib.cli.entry import ARCH, COMPONENT, JSON, absolute, command, exit_code, open_workspace, settings_help, split
from buildlib.process.console import Console


@task(
    auto_shortflags=False,
    iterable=["arch", "component", "features"],
    help={
        "arch": f"{ARCH}; default: native",
        "component": COMPONENT,
        **settings_help("profile", "backend", "glibc", "features", "target_dir", "dist"),
        "json": JSON,
    },
)
@command
def build(
    c: Any, console: Console, arch: list[str], component: list[str], features: list[str], profile: str = "", backend: str = "",
    glibc: str = "", target_dir: str = "", dist: str = "", json: bool = False,
) -> int:  # fmt: skip
    """Compile, verify, and put the binaries into dist/<arch>/."""
    flags = {
        "profile": profile, "backend": backend, "glibc": glibc, "features": split(features),
        "target_dir": absolute(target_dir), "dist": absolute(dist),
    }  # fmt: skip
    context = open_workspace(c, console, flags)
    from buildlib.binaries import build as binaries
    from buildlib.report import tables

    results = binaries.build(context, context.targets(tuple(arch), "native"), tuple(component))
    tables.build(console, results, as_json=json)
    return exit_code(results)
