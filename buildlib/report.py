"""Results for a person (tables) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from buildlib import network
from buildlib.build import Result, Verdict
from buildlib.cargo import Build
from buildlib.config import Config
from buildlib.console import Console
from buildlib.engine import State
from buildlib.failures import classify
from buildlib.image import Made
from buildlib.network import Leg, Survey
from buildlib.plan import Need, Status, Step, Write
from buildlib.redact import redact


def built(console: Console, results: list[Result], *, as_json: bool) -> None:
    """What `build` made: a row a binary."""
    if as_json:
        console.json(
            [
                {
                    "arch": r.target.name, "status": r.status.value, "code": r.error.code if r.error else 0,
                    "error": r.error.message if r.error else None, "binaries": list(r.entries),
                }
                for r in results
            ]
        )  # fmt: skip
        return
    rows = [_row(result, entry) for result in results for entry in result.entries or ({},)]
    if any(result.status is not Status.PLANNED for result in results):
        console.table(("arch", "binary", "size", "glibc", "backend", "sha256", "started", ""), rows)


def _row(result: Result, entry) -> tuple[str, ...]:
    status = result.status.value
    if not entry:
        return (result.target.name, "", "", "", "", "", "", status)
    glibc = entry["facts"]["glibc"] or "static"
    return (result.target.name, entry["binary"], size(entry["size"]), glibc, entry["backend"], entry["sha256"][:12],
            entry["started"] or "not here", status)  # fmt: skip


def size(count: int) -> str:
    """Bytes for a person: 1.2 MiB."""
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def pictured(console: Console, images: Sequence[Made], *, as_json: bool) -> None:
    """What `image` made: a row an image."""
    if as_json:
        console.json(
            [
                {
                    "component": i.component, "status": i.status.value, "digest": i.digest, "platforms": list(i.platforms),
                    "tags": list(i.tags), "where": i.where, "code": i.error.code if i.error else 0,
                    "error": i.error.message if i.error else None,
                }
                for i in images
            ]
        )  # fmt: skip
    elif images:
        console.table(
            ("image", "platforms", "tags", "digest", ""),
            (
                (i.where or i.component, ", ".join(i.platforms), ", ".join(i.tags), i.digest.removeprefix("sha256:")[:12],
                 i.status.value)
                for i in images
            ),
        )  # fmt: skip


def builder(console: Console, state: State, *, as_json: bool) -> None:
    """The builder: is it there, and in what it differs."""
    if as_json:
        console.json({"name": state.wanted.name, "there": state.there, "differs": list(state.differs)})
        return
    told = "differs from the settings:" if state.differs else "as the settings say" if state.there else "not there"
    console.line(f"builder {state.wanted.name}: {told}")
    for line in state.differs:
        console.line(f"  {line}")
    if state.differs or not state.there:
        console.line(f"  cure: buildlib builder.create{' --force' if state.differs else ''}")


def written(console: Console, files: Sequence[Write], in_place: bool) -> None:
    """The Dockerfile; or that it, and what it is to ignore, was written."""
    if in_place:
        for file in files:
            console.line(f"wrote {file.path.name}")
    else:
        console.line(files[0].text.rstrip("\n"))


def verified(console: Console, verdicts: Iterable[Verdict], *, as_json: bool) -> None:
    """What the gate says: a line a file, a line a refused fact."""
    verdicts = list(verdicts)
    if as_json:
        console.json(
            [
                {
                    "path": str(v.path), "arch": v.target.name if v.target else None, "refusals": list(v.refusals),
                    "glibc": v.facts.glibc if v.facts else None, "started": v.started,
                }
                for v in verdicts
            ]
        )  # fmt: skip
        return
    for verdict in verdicts:
        arch = verdict.target.name if verdict.target else "unknown"
        mark = "✗" if verdict.refusals else "✓"
        glibc = f" · glibc {verdict.facts.glibc}" if verdict.facts and verdict.facts.glibc else ""
        started = f" · started with {verdict.started}" if verdict.started else ""
        console.line(f"{mark} {verdict.path} · {arch}{glibc}{started}")
        for refusal in verdict.refusals:
            console.line(f"    {refusal}")


def planned(console: Console, builds: list[Build], *, as_json: bool) -> None:
    """What `build` would run: a row a target."""
    compiles = [(build, step) for build in builds for step in build.job.steps if isinstance(step, Step)]
    if as_json:
        console.json(
            [
                {
                    "arch": build.target.name, "target": build.target.triple, "platform": build.target.oci,
                    "backend": build.backend.name, "why": build.backend.why, "floor": build.backend.floor,
                    "toolchain": str(build.chosen) if build.chosen else None, "folder": str(build.folder),
                    "argv": list(step.argv), "env": dict(step.env),
                }
                for build, step in compiles
            ]
        )  # fmt: skip
        return
    console.table(
        ("arch", "backend", "why", "floor", "toolchain", "command"),
        (
            (
                b.target.name,
                b.backend.name,
                b.backend.why,
                b.backend.floor or "-",
                str(b.chosen or "-"),
                " ".join(s.argv),
            )
            for b, s in compiles
        ),
    )


def settings(console: Console, config: Config, *, as_json: bool) -> None:
    """Every setting, its value and what set it."""
    if as_json:
        console.json({key: {"value": value, "from": config.came_from[key]} for key, value in config.values.items()})
        return
    console.table(("setting", "value", "from"), ((k, _shown(v), config.came_from[k]) for k, v in config.values.items()))


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def explained(console: Console, name: str, log: str, *, as_json: bool) -> None:
    """What a log fails of, as JSON in one line or for a person."""
    failure = classify(log)
    cause = redact(failure.cause)
    if as_json:
        told = {
            "class": failure.kind,
            "retry": failure.retry,
            "cause": cause,
            "line": failure.line,
            "cure": failure.cure,
            "wait": failure.wait,
        }
        console.line(json.dumps(told, ensure_ascii=False))
        return
    where = "standard input" if name == "-" else name
    wait = f", in {failure.wait:.0f} s" if failure.wait else ""
    helps = f"a retry helps{wait}" if failure.retry else "a retry does not help"
    if failure.kind == "unknown":
        helps = "nothing in it reads as a failure that is known; it is not retried"
    console.line(f"{where}:{failure.line or 1}: {failure.kind}: {helps}")
    if cause:
        console.line(f"  cause: {cause}")
    if failure.cure:
        console.line(f"  cure: {failure.cure}")


def surveyed(console: Console, survey: Survey, *, as_json: bool) -> None:
    """The way to each registry, a line a leg, and what to change."""
    advised = network.advice(survey)
    if as_json:
        told = {
            "legs": network.told(survey),
            "clock_skew": round(survey.skew, 1),
            "rate_limit_left": survey.left,
            "advice": list(advised),
        }
        return console.json(told)
    rows = ((leg.where, leg.host, leg.name, f"{leg.seconds * 1000:.0f} ms", _seen(leg)) for leg in survey.legs)
    console.table(("from", "registry", "leg", "time", ""), rows)
    for line in advised:
        console.line(f"  cure: {line}")
    return None


def _seen(leg: Leg) -> str:
    return f"{leg.failure.kind}: {leg.failure.cause}" if leg.failure else leg.note


def examined(console: Console, wanted: Iterable[Need], lacking: Iterable[Need], *, as_json: bool) -> None:
    """What the machine has and lacks: a line a need."""
    absent = {need.what for need in lacking}
    told = [
        {
            "section": need.section,
            "need": need.what,
            "state": "ok" if need.what not in absent else "fail" if need.must else "warn",
            "have": need.have,
            "why": need.why,
            "cures": [cure.text for cure in need.cures] if need.what in absent else [],
        }
        for need in wanted
    ]
    if as_json:
        console.json(told)
        return
    console.table(
        ("", "section", "need", "here", "why", "cure"),
        ((n["state"], n["section"], n["need"], n["have"], n["why"], " or ".join(n["cures"])) for n in told),
    )
