"""The command `bench`: criterion where time means something; under emulation each body once, and its instructions counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from buildlib.binaries.build import compile_error
from buildlib.compiler_cache.server import serving
from buildlib.core.errors import BuildError, NothingToDo, TestsFailed, UsageError
from buildlib.core.targets import Target
from buildlib.emulation import qemu
from buildlib.process.context import Context
from buildlib.testing import cargo_test, counts, tests
from buildlib.testing.cargo_test import BenchPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """The result of one target's benchmarks. `counted` maps a name to instructions per iteration; {} where criterion measured."""

    target: Target
    emulator: str = ""
    counted: Mapping[str, float] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()  # benchmarks that do not read counts.ITERATIONS
    error: BuildError | None = None
    planned: bool = False


class BenchReport(TypedDict):
    """target/buildlib/reports/bench-<arch>.json, and `bench --json`: one element per target. It can be a baseline."""

    session: str
    arch: str
    target: str
    emulator: str
    code: int
    error: str | None
    instructions: dict[str, float]
    uncounted: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """An earlier report that must not be exceeded by more than `limit` percent."""

    baseline: Path | None = None
    limit: float = 1.0


def bench(context: Context, targets: tuple[Target, ...], options: BenchOptions) -> list[BenchResult]:
    """The benchmarks of each target, one after the other. UsageError for a baseline that is not a report."""
    baseline = _read_baseline(options.baseline) if options.baseline else {}
    context, toolsets = tests.toolsets(context, targets)
    plans = [
        cargo_test.bench_plan(context.host, context.config, context.workspace, context.request, toolset)
        for toolset in toolsets
    ]
    with serving(context, (plan.cache for plan in plans)):
        return [_bench_one(context, plan, options, baseline) for plan in plans]


def _read_baseline(path: Path) -> Mapping[str, float]:
    help_text = "pass the JSON report of an earlier `bench`"
    try:
        instructions = json.loads(path.read_text(encoding="utf-8"))["instructions"]
        return {str(name): float(value) for name, value in instructions.items()}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", help_text) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UsageError(f"{path}: not a report of `bench`", help_text) from None


def _bench_one(context: Context, plan: BenchPlan, options: BenchOptions, baseline: Mapping[str, float]) -> BenchResult:
    target = plan.target
    words = qemu.runner(context.host, target, static=target.is_musl) or ()
    result = BenchResult(target=target, emulator=tests.emulator_name(context, words))
    with context.console.fold(f"{target.name} · bench · {result.emulator or 'native'}"):
        try:
            result = _run(context, plan, words, options, result)
            if grown := counts.grown(result.counted, baseline, options.limit):
                error = BuildError(f"{target.name}: more instructions than in the baseline:\n  " + "\n  ".join(grown))
                result = replace(result, error=error)
        except BuildError as error:
            result = replace(result, error=error)
        if result.error:
            context.console.error(result.error)
    for name, value in result.counted.items():
        context.history("instructions", arch=target.name, name=name, value=value)
    if not result.planned:
        context.run(context.report(f"bench-{target.name}", report(result)))
    return result


def _run(
    context: Context, plan: BenchPlan, words: tuple[str, ...], options: BenchOptions, result: BenchResult
) -> BenchResult:
    for action in plan.scripts:
        context.run(action)
    compiled = context.run(plan.compile)
    if not compiled.ran:
        return replace(result, planned=True)
    if not compiled:
        raise compile_error(plan.target, compiled)
    benches = [artifact for artifact in compiled.tests if artifact.kind == "bench"]
    if not benches:
        raise NothingToDo(f"{plan.target.name}: the workspace has no benchmarks", "add a [[bench]]")
    counted: dict[str, float] = {}
    uncounted: list[str] = []
    for artifact in benches:
        binary, folder = artifact.path, artifact.manifest.parent
        tests.check_machine(binary, plan.target)
        step = (counts.check if words else counts.measure)(words, binary, folder, context.request.rest)
        if not words:  # criterion keeps its report in its usual place
            step = replace(step, env={"CRITERION_HOME": str(context.workspace.target_dir / "criterion")})
        if not context.run(step):
            raise TestsFailed(f"{plan.target.name}: {binary.name}: a body failed")
        if words and counts.can_count(binary):
            counted |= _count(context, words, binary, folder, context.request.rest)
        elif words:
            uncounted.append(binary.name)
    return replace(result, counted=counted, uncounted=tuple(uncounted))


def _count(
    context: Context, words: tuple[str, ...], binary: Path, folder: Path, rest: tuple[str, ...]
) -> dict[str, float]:
    """Instructions per iteration of each body: the difference between two runs."""
    names = counts.names(context.run(counts.listing(words, binary, folder, rest)).stdout)

    def run(name: str, iterations: int) -> int:
        outcome = context.run(counts.count(context.host, words, binary, folder, name, iterations))
        if not outcome or not outcome.stdout.strip().isdigit():
            raise BuildError(f"{binary.name}: {name}: instructions cannot be counted: {outcome.last}")
        return int(outcome.stdout)

    counted: dict[str, float] = {}
    for name in names:
        first, low, high = run(name, counts.FEW[0]), *counts.FEW
        if first <= counts.SHORT:
            low, high = counts.MANY
            first = run(name, low)
        counted[name] = (run(name, high) - first) / (high - low)
        context.console.note(f"{name}: {counted[name]:,.0f} instructions")
    return counted


def report(result: BenchResult) -> BenchReport:
    """The result as JSON data."""
    return {
        "session": "bench", "arch": result.target.name, "target": result.target.triple, "emulator": result.emulator,
        "code": result.error.code if result.error else 0, "error": result.error.message if result.error else None,
        "instructions": dict(result.counted), "uncounted": list(result.uncounted),
    }  # fmt: skip
