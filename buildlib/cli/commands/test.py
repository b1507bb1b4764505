"""`test`, `bench` and `smoke`: the work behind the nox sessions of each arch."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildlib.cli.cargo_options import CargoOptions, cargo_command
from buildlib.cli.entry import (
    ARCH,
    COMPONENT,
    JSON,
    SHARD,
    absolute,
    command,
    open_workspace,
    settings_help,
    split,
    task,
)
from buildlib.core.errors import UsageError
from buildlib.process.console import Console
from buildlib.report.reply import exit_code

if TYPE_CHECKING:
    from buildlib.process.context import Context
    from buildlib.testing.smoke import SmokeOptions
    from buildlib.testing.tests import TestResult


@cargo_command(
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: native",
        "profile": "cargo profile; default: cargo's for tests",
        "lib": "the unit tests of libraries, as for cargo",
        "example": "the tests of an example",
        "shard": SHARD,
        "cpu": "CPU that QEMU shows the tests: baseline for the oldest of the arch, or a name of QEMU's",
        "json": JSON,
    },
)
def test(
    c: Any, console: Console, cargo: CargoOptions, arch: list[str], cpu: str = "", shard: str = "", json: bool = False
) -> int:
    """The workspace's tests on each arch, under QEMU where it is not this machine's.

    Words after -- are for cargo.
    """
    context = open_workspace(c, console, {"features": cargo.features}, cargo.request, recorded=True)
    from buildlib.report import test_tables
    from buildlib.testing import tests
    from buildlib.usage import after_parts, next_command

    words = (*arch, *cargo.targets)
    results = (
        _test_part(context, shard, words, cpu) if shard else tests.test(context, context.targets(words, "native"), cpu)
    )
    test_tables.tests(console, results, as_json=json)
    if shard:
        after_parts.after_part(context, results)
    else:
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
        "shard": f"{SHARD}; without --tag it is the images that this part has pushed",
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
    shard: str = "",
    json: bool = False,
) -> int:
    """Start each image of the registry on its platform and check that it does what the settings promise."""
    from buildlib.core.request import Request

    request = Request(components=tuple(split(component)))
    context = open_workspace(c, console, {"registry": registry}, request, scope="project", recorded=True)
    from buildlib.assembly.spec import one_per_platform
    from buildlib.report import test_tables
    from buildlib.testing import smoke as smoke_tests
    from buildlib.usage import after_parts, next_command

    targets = context.targets(tuple(arch), "all")
    context, images = context.with_images()
    options = smoke_tests.SmokeOptions(
        targets=targets if arch else one_per_platform(targets), named=bool(arch), images=images, tag=tag
    )
    results = _smoke_part(context, options, shard, tuple(arch)) if shard else smoke_tests.smoke(context, options)
    test_tables.tests(console, results, as_json=json)
    if shard:
        after_parts.after_part(context, results)
    else:
        next_command.after_smoke(context, results)
    return exit_code(results)


def _test_part(context: Context, shard: str, words: tuple[str, ...], cpu: str) -> list[TestResult]:
    """Test the arches of this machine's part, and record the results for `merge`."""
    from buildlib.shards import record
    from buildlib.shards.part import part_of
    from buildlib.testing import tests

    part = part_of(context, shard, words)
    recording = record.start(context, part, "test")
    results = tests.test(context, part.targets, cpu) if part.targets else []
    recording.tests(results)
    return results


def _smoke_part(context: Context, options: SmokeOptions, shard: str, words: tuple[str, ...]) -> list[TestResult]:
    """Start the images of this machine's part, and record the results for `merge`."""
    from buildlib.binaries import build
    from buildlib.images.dockerfile_image import targets_of
    from buildlib.shards import record
    from buildlib.shards.part import part_of
    from buildlib.testing import smoke as smoke_tests

    part = part_of(context, shard, words)
    own = part.own(options.targets)
    images = tuple(name for name in options.images if targets_of(context, name, own, named=True))
    digests = None if options.tag else record.pushed(context, part)
    if digests is not None:
        context = build.without(context, build.predict_left_out(context).keys() - digests.keys())
    options = replace(options, targets=own, named=True, images=images, digests=digests)
    recording = record.start(context, part, "smoke")
    some = own and (images or not context.request.no_binaries)
    results = smoke_tests.smoke(context, options) if some else []
    recording.tests(results)
    return results
