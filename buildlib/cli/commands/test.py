"""`test`, `bench` and `smoke`: the work behind the nox sessions of each arch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from buildlib.cli.cargo_options import CargoOptions, cargo_command
from buildlib.cli.entry import ARCH, COMPONENT, JSON, absolute, command, open_workspace, settings_help, split, task
from buildlib.core.errors import UsageError
from buildlib.core.request import Request
from buildlib.process.console import Console
from buildlib.report.reply import exit_code


@cargo_command(
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: native",
        "profile": "cargo profile; default: cargo's for tests",
        "lib": "the unit tests of libraries, as for cargo",
        "example": "the tests of an example",
        "cpu": "CPU that QEMU shows the tests: baseline for the oldest of the arch, or a name of QEMU's",
        "json": JSON,
    },
)
def test(c: Any, console: Console, cargo: CargoOptions, arch: list[str], cpu: str = "", json: bool = False) -> int:
    """The workspace's tests on each arch, under QEMU where it is not this machine's.

    Words after -- are for cargo.
    """
    context = open_workspace(c, console, {"features": cargo.features}, cargo.request, recorded=True)
    from buildlib.report import test_tables
    from buildlib.testing import tests
    from buildlib.usage import next_command

    results = tests.test(context, context.targets((*arch, *cargo.targets), "native"), cpu)
    test_tables.tests(console, results, as_json=json)
    next_command.after_test(context, results)
    return exit_code(results)


@cargo_command(
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: native",
        "profile": "cargo profile; default: bench",
        "lib": "the benchmarks of libraries, as for cargo",
        "baseline": "the JSON report of an earlier run, which must not be exceeded",
        "limit": "by how many percent the instructions may grow; default: 1",
        "json": JSON,
    },
)
def bench(
    c: Any,
    console: Console,
    cargo: CargoOptions,
    arch: list[str],
    baseline: str = "",
    limit: str = "1",
    json: bool = False,
) -> int:
    """The workspace's benchmarks: criterion on this machine's arch, counted instructions under QEMU.

    Words after -- are for the benchmarks.
    """
    if not re.fullmatch(r"\d+(\.\d+)?", limit):
        raise UsageError("--limit expects a percentage, for example 1", f"got {limit!r}")
    context = open_workspace(c, console, {"features": cargo.features}, cargo.request, recorded=True)
    from buildlib.report import test_tables
    from buildlib.testing import benches
    from buildlib.usage import next_command

    options = benches.BenchOptions(baseline=Path(absolute(baseline)) if baseline else None, limit=float(limit))
    results = benches.bench(context, context.targets((*arch, *cargo.targets), "native"), options)
    test_tables.benches(console, results, as_json=json)
    next_command.after_bench(context, results)
    return exit_code(results)


@task(
    iterable=["arch", "component"],
    help={
        "arch": f"{ARCH}; default: all, one per platform",
        "component": COMPONENT,
        "tag": "which images; default: each component's version, latest for an image of the settings",
        **settings_help("registry"),
        "json": JSON,
    },
)
@command
def smoke(
    c: Any,
    console: Console,
    arch: list[str],
    component: list[str],
    tag: str = "",
    registry: str = "",
    json: bool = False,
) -> int:
    """Start each image of the registry on its platform and check that it does what the settings promise."""
    request = Request(components=tuple(split(component)))
    context = open_workspace(c, console, {"registry": registry}, request, scope="project", recorded=True)
    from buildlib.assembly.spec import one_per_platform
    from buildlib.report import test_tables
    from buildlib.testing import smoke as smoke_tests
    from buildlib.usage import next_command

    targets = context.targets(tuple(arch), "all")
    context, images = context.with_images()
    options = smoke_tests.SmokeOptions(
        targets=targets if arch else one_per_platform(targets, static=False), named=bool(arch), images=images, tag=tag
    )
    results = smoke_tests.smoke(context, options)
    test_tables.tests(console, results, as_json=json)
    next_command.after_smoke(context, results)
    return exit_code(results)
