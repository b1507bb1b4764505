"""The command `bench`: criterion where time means something; elsewhere each body once, and its instructions counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buildlib import build, cargo, counts, emulation, testing
from buildlib.cargo import Benches
from buildlib.context import Context
from buildlib.errors import BuildError, NothingToDo, TestsFailed, UsageError
from buildlib.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Benched:
    """What became of one target's benches: instructions per iteration, by name; {} where criterion has measured."""

    target: Target
    emulator: str = ""
    counted: Mapping[str, float] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()  # benches that cannot be asked how often a body runs
    error: BuildError | None = None
    planned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Words for the benches, and a report of an earlier run that must not be exceeded by more than `limit` percent."""

    rest: tuple[str, ...] = ()
    baseline: Path | None = None
    limit: float = 1.0


def bench(context: Context, targets: tuple[Target, ...], asked: Asked) -> list[Benched]:
    """The benches of each target, one after the other."""
    before = _baseline(asked.baseline) if asked.baseline else {}
    context, chosen_backends, chosen = testing.fit(context, targets)
    found = []
    for target in targets:
        lines = cargo.benches(context.host, context.config, context.workspace, target, chosen_backends[target.name],
                              chosen.get(target.name))  # fmt: skip
        found.append(_one(context, lines, asked, before))
    return found


def _baseline(path: Path) -> Mapping[str, float]:
    """The counts of an earlier report. UsageError for a file that is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["instructions"]
        return {str(name): float(value) for name, value in told.items()}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "a JSON report of an earlier `bench`") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UsageError(f"{path} is no report of `bench`", "a JSON report of an earlier `bench`") from None


def _one(context: Context, lines: Benches, asked: Asked, before: Mapping[str, float]) -> Benched:
    target = lines.target
    words = emulation.runner(context.host, target, static=target.is_musl) or ()
    found = Benched(target=target, emulator=testing.emulator(context, words))
    with context.console.fold(f"{target.name} · bench · {found.emulator or 'native'}"):
        try:
            found = _run(context, lines, words, asked, found)
            if grown := counts.worse(found.counted, before, asked.limit):
                error = BuildError(f"{target.name}: more instructions than before:\n  " + "\n  ".join(grown))
                found = replace(found, error=error)
        except BuildError as error:
            found = replace(found, error=error)
        if found.error:
            context.console.explain(found.error)
    for name, value in found.counted.items():
        context.journal("instructions", arch=target.name, name=name, value=value)
    if not found.planned:
        context.run(context.report(f"bench-{target.name}", told(found)))
    return found


def _run(context: Context, lines: Benches, words: tuple[str, ...], asked: Asked, found: Benched) -> Benched:
    for act in lines.tools:
        context.run(act)
    compiled = context.run(lines.compile)
    if not compiled.ran:
        return replace(found, planned=True)
    if not compiled:
        raise build.compile_error(lines.target, compiled)
    if not compiled.benches:
        raise NothingToDo(f"{lines.target.name}: the workspace has no benches", "add a [[bench]]")
    counted, uncounted = {}, []
    for binary, folder in compiled.benches:
        testing.check_machine(binary, lines.target)
        step = (counts.check if words else counts.measure)(words, binary, folder, asked.rest)
        if not words:  # criterion keeps its report where it always does
            step = replace(step, env={"CRITERION_HOME": str(context.workspace.target_dir / "criterion")})
        if not context.run(step):
            raise TestsFailed(f"{lines.target.name}: {binary.name}: a body failed")
        if words and counts.knows_how_often(binary):
            counted |= _counts(context, words, binary, folder, asked.rest)
        elif words:
            uncounted.append(binary.name)
    return replace(found, counted=counted, uncounted=tuple(uncounted))


def _counts(
    context: Context, words: tuple[str, ...], binary: Path, folder: Path, rest: tuple[str, ...]
) -> dict[str, float]:
    """Instructions per iteration of each body: the difference between two runs."""
    listed = counts.names(context.run(counts.listing(words, binary, folder, rest)).stdout)

    def run(name: str, iterations: int) -> int:
        outcome = context.run(counts.count(context.host, words, binary, folder, name, iterations))
        if not outcome:
            raise BuildError(f"{binary.name}: {name}: cannot be counted: {outcome.last}")
        return int(outcome.stdout)

    found = {}
    for name in listed:
        first, low, high = run(name, counts.FEW[0]), *counts.FEW
        if first <= counts.SHORT:
            low, high = counts.MANY
            first = run(name, low)
        found[name] = (run(name, high) - first) / (high - low)
        context.console.note(f"{name}: {found[name]:,.0f} instructions")
    return found


def told(found: Benched) -> dict[str, Any]:
    """The same as data, as the JSON report has it; it can be a baseline."""
    return {
        "session": "bench", "arch": found.target.name, "target": found.target.triple, "emulator": found.emulator,
        "code": found.error.code if found.error else 0, "error": found.error.message if found.error else None,
        "instructions": dict(found.counted), "uncounted": list(found.uncounted),
    }  # fmt: skip
