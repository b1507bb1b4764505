"""Results for users (tables and lines) and for programs (JSON).

`test_tables` has those of tests and benchmarks, which no build needs to import, `plan_table` that of `plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from buildlib.core.plan import Status, Write
from buildlib.core.requirements import Requirement
from buildlib.core.settings import Config, flat
from buildlib.failures.classify import classify
from buildlib.failures.redact import redact
from buildlib.process.console import Console

if TYPE_CHECKING:
    from buildlib.assembly.spec import ImageResult
    from buildlib.binaries.build import BuildResult
    from buildlib.binaries.dist import Entry
    from buildlib.binaries.verify import Verdict
    from buildlib.builder.builder_commands import BuilderState
    from buildlib.builder.step_times import StepTime
    from buildlib.doctor.network import ConnectionStep, NetworkReport
    from buildlib.images.bases import BaseState
    from buildlib.report import results as data


def build(console: Console, results: Sequence[BuildResult], *, as_json: bool) -> None:
    """Print the result of `build`: one row per file."""
    if as_json:
        rows: list[data.BuildData] = [
            {
                "arch": r.target.name, "status": r.status.value, "code": r.error.code if r.error else 0,
                "error": r.error.message if r.error else None, "binaries": list(r.entries),
                "left_out": list(r.left_out.values()),
            }
            for r in results
        ]  # fmt: skip
        console.json(rows)
    elif any(result.status is not Status.PLANNED for result in results):
        console.table(
            ("arch", "binary", "size", "glibc", "backend", "sha256", "started", "status"),
            [_binary(result, entry) for result in results for entry in result.entries or (None,)],
        )


def _binary(result: BuildResult, entry: Entry | None) -> tuple[str, ...]:
    status = result.status.value
    if entry is None:
        return (result.target.name, "", "", "", "", "", "", status)
    is_library = entry.get("kind") in ("cdylib", "staticlib")  # is never started, and without glibc not static for that
    glibc = entry["facts"]["glibc"] or ("-" if is_library else "static")
    started = entry["started"] or ("-" if is_library else "no")
    return (result.target.name, entry["binary"], size(entry["size"]), glibc, entry["backend"], entry["sha256"][:12],
            started, status)  # fmt: skip


def size(count: int) -> str:
    """Return a number of bytes with its unit, as in 1.2 MiB."""
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def image(console: Console, images: Sequence[ImageResult], *, as_json: bool) -> None:
    """Print the result of `image`: one row per image, and what emulation cost."""
    from buildlib.builder.step_times import HELP, summary

    if as_json:
        rows: list[data.ImageData] = [
            {
                "component": i.component, "status": i.status.value, "digest": i.digest, "platforms": list(i.platforms),
                "tags": list(i.tags), "where": i.where, "code": i.error.code if i.error else 0,
                "error": i.error.message if i.error else None, "steps": [_step_data(step) for step in i.steps],
            }
            for i in images
        ]  # fmt: skip
        console.json(rows)
    elif images:
        console.table(
            ("image", "platforms", "tags", "digest", "status"),
            (
                (i.where or i.component, ", ".join(i.platforms), ", ".join(i.tags), i.digest.removeprefix("sha256:")[:12],
                 i.status.value)
                for i in images
            ),
        )  # fmt: skip

    for image in images:
        if text := summary(image.steps):
            console.warn(f"{image.component}: {text}; help: {HELP}")


def _step_data(step: StepTime) -> data.StepTimeData:
    return {
        "title": step.title, "platform": step.platform, "target": step.target, "stage": step.stage,
        "seconds": round(step.seconds, 3), "emulated": step.emulated,
    }  # fmt: skip


def bases(console: Console, states: Sequence[BaseState], *, as_json: bool) -> None:
    """Print the result of `image --check-bases`: one row per component and base image."""
    if as_json:
        rows: list[data.BaseData] = [
            {
                "component": s.component,
                "base": s.base,
                "recorded": s.recorded,
                "current": s.current,
                "newer": s.is_newer,
            }
            for s in states
        ]
        console.json(rows)
    elif states:
        console.table(
            ("component", "base image", "recorded", "current", "state"),
            (
                (s.component, s.base, s.recorded.removeprefix("sha256:")[:12], s.current.removeprefix("sha256:")[:12],
                 "newer" if s.is_newer else "current")
                for s in states
            ),
        )  # fmt: skip
    else:
        console.line("no base image is recorded: it is with the next `image --push`")


def builder(console: Console, state: BuilderState, *, as_json: bool) -> None:
    """Print whether the builder exists, and how it differs from the settings."""
    if as_json:
        result: data.BuilderData = {
            "name": state.configured.name,
            "there": state.exists,
            "differs": list(state.differences),
        }
        console.json(result)
        return
    matches = "matches the settings" if state.exists else "does not exist"
    console.line(f"builder {state.configured.name}: {'differs from the settings:' if state.differences else matches}")
    for line in state.differences:
        console.line(f"  {line}")
    if state.differences or not state.exists:
        console.line(f"  help: buildlib builder.create{' --force' if state.differences else ''}")


def dockerfile(console: Console, files: Sequence[Write], *, written: bool) -> None:
    """Print the Dockerfile, or the names of the files that were written."""
    if written:
        for file in files:
            console.line(f"wrote {file.path.name}")
    else:
        console.line(files[0].text.rstrip("\n"))


def verify(console: Console, verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    """Print the result of the gate: one line per file, one line per mismatch."""
    if as_json:
        rows: list[data.VerifyData] = [
            {
                "path": str(v.path), "arch": v.target.name if v.target else None, "refusals": list(v.refusals),
                "glibc": v.facts.glibc if v.facts else None, "started": v.started.flag, "cpu": v.started.cpu, "pages": v.started.pages,
                "kind": v.kind,
            }
            for v in verdicts
        ]  # fmt: skip
        console.json(rows)
        return
    for verdict in verdicts:
        arch = verdict.target.name if verdict.target else "unknown"
        kind = f" · {verdict.kind}" if verdict.kind != "bin" else ""
        mark = "✗" if verdict.refusals else "✓"
        glibc = f" · glibc {verdict.facts.glibc}" if verdict.facts and verdict.facts.glibc else ""
        started = f" · started with {verdict.started.flag}" if verdict.started.flag else ""
        console.line(f"{mark} {verdict.path} · {arch}{kind}{glibc}{started}")
        for refusal in verdict.refusals:
            console.line(f"    {refusal}")


def config(console: Console, config: Config, *, as_json: bool) -> None:
    """Print every setting, its value and the layer that set it."""
    values = flat(config)
    if as_json:
        result: Mapping[str, data.ConfigData] = {
            key: {"value": value, "from": config.origins[key]} for key, value in values.items()
        }
        console.json(result)
        return
    console.table(
        ("setting", "value", "from"), ((key, _shown(value), config.origins[key]) for key, value in values.items())
    )


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def explain(console: Console, name: str, log: str, *, as_json: bool) -> None:
    """Print the class, cause and help of a failed log: as JSON in one line, or for users."""
    failure = classify(log)
    cause = redact(failure.cause)
    if as_json:
        result: data.ExplainData = {
            "file": name,
            "class": failure.kind,
            "retry": failure.retry,
            "cause": cause,
            "line": failure.line,
            "help": failure.help,
            "wait": failure.wait,
        }
        console.json(result, indent=None)
        return
    where = "standard input" if name == "-" else name
    if failure.kind == "unknown" and not cause:
        console.line(f"{where}: no failure found")
        return
    wait = f", in {failure.wait:.0f} s" if failure.wait else ""
    helps = f"a retry helps{wait}" if failure.retry else "a retry does not help"
    if failure.kind == "unknown":
        helps = "no known failure; it is not retried"
    console.line(f"{where}:{failure.line or 1}: {failure.kind}: {helps}")
    if cause:
        console.line(f"  cause: {cause}")
    if failure.help:
        console.line(f"  help: {failure.help}")


def network(console: Console, report: NetworkReport, *, as_json: bool) -> None:
    """Print the connection to each registry, one row per step, and what to change."""
    from buildlib.doctor import network as analysis

    advice = analysis.advice(report)
    if as_json:
        result: data.NetworkData = {
            "legs": analysis.steps_data(report),
            "clock_skew": round(report.skew, 1),
            "rate_limit_left": report.left,
            "advice": list(advice),
        }
        console.json(result)
        return
    rows = ((step.where, step.host, step.name, f"{step.seconds * 1000:.0f} ms", _step(step)) for step in report.steps)
    console.table(("from", "registry", "step", "time", "result"), rows)
    for line in advice:
        console.line(f"  help: {line}")


def _step(step: ConnectionStep) -> str:
    return f"{step.failure.kind}: {redact(step.failure.cause)}" if step.failure else step.note


def doctor(
    console: Console, requirements: Sequence[Requirement], absent: Iterable[Requirement], *, as_json: bool
) -> None:
    """Print what the machine has and lacks: one row per requirement."""
    names = {requirement.what for requirement in absent}
    rows: list[data.RequirementData] = [
        {
            "section": requirement.section,
            "need": requirement.what,
            "state": "ok" if requirement.what not in names else "fail" if requirement.required else "warn",
            "have": requirement.have,
            "why": requirement.why,
            "help": [fix.text for fix in requirement.fixes] if requirement.what in names else [],
        }
        for requirement in requirements
    ]
    if as_json:
        console.json(rows)
        return
    console.table(
        ("state", "section", "requirement", "found", "why", "help"),
        ((r["state"], r["section"], r["need"], r["have"], r["why"], " or ".join(r["help"])) for r in rows),
    )
