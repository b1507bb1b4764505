"""Results for users (tables and lines) and for programs (JSON): those of `build`, `verify`, `config`, `explain` and `clean`.

`image_tables`, `test_tables`, `doctor_tables` and `plan_table` have the others, which no build needs to import.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildlib.core.errors import BuildError, Refused
from buildlib.core.plan import Status
from buildlib.core.settings import Config, flat
from buildlib.failures.classify import classify
from buildlib.failures.redact import redact
from buildlib.process.console import Console
from buildlib.report.reply import reply

WHOLE = ("index", "signature")  # the kinds of verdicts that are about several arches

if TYPE_CHECKING:
    from buildlib.binaries.build import BuildResult
    from buildlib.binaries.clean import Entry as Removed
    from buildlib.binaries.dist import Entry
    from buildlib.binaries.verify import Verdict
    from buildlib.lint.command import Linted
    from buildlib.report import results as data


def build(console: Console, results: Sequence[BuildResult], *, as_json: bool) -> None:
    """Print the result of `build`: one row per file."""
    if as_json:
        rows: list[data.BuildData] = [
            {
                "arch": r.target.name, "status": r.status.value, "code": r.error.code if r.error else 0,
                "error": r.error.message if r.error else None, "binaries": list(r.entries),
                "left_out": list(r.left_out.values()), "unchanged": sorted(r.unchanged), "previous_sizes": dict(r.previous_sizes),
                "cache": r.cache,
                **reply([r.error]),
            }
            for r in results
        ]  # fmt: skip
        console.json(rows)
    elif any(result.status is not Status.PLANNED for result in results):
        console.table(
            ("arch", "binary", "size", "glibc", "backend", "sha256", "started", "status"),
            [_binary(result, entry) for result in results for entry in result.entries or (None,)],
            important=("arch", "binary", "status", "size", "started"),
        )


def _binary(result: BuildResult, entry: Entry | None) -> tuple[str, ...]:
    status = result.status.value
    if entry is None:
        return (result.target.name, "", "", "", "", "", "", status)
    is_library = entry.get("kind") in ("cdylib", "staticlib")  # is never started, and without glibc not static for that
    glibc = entry["facts"]["glibc"] or ("-" if is_library else "static")
    started = entry["started"] or ("-" if is_library else "no")
    status = Status.UNCHANGED.value if entry["binary"] in result.unchanged else status
    shown = size(entry["size"]) + change(entry["size"], result.previous_sizes.get(entry["binary"]))
    return (result.target.name, entry["binary"], shown, glibc, entry["backend"], entry["sha256"][:12], started, status)


def size(count: int) -> str:
    """Return a number of bytes with its unit, as in 1.2 MiB."""
    if count >= 2**30:
        return f"{count / 2**30:.1f} GiB"
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def change(count: int, previous: int | None) -> str:
    """Return how a number of bytes has changed, as in " (+1.2 KiB)"; "" if it has not, or the previous one is not known."""
    difference = count - (count if previous is None else previous)
    if not difference:
        return ""
    shown = size(abs(difference)) if abs(difference) >= 100 else f"{abs(difference)} B"
    return f" ({'+' if difference > 0 else '-'}{shown})"


def verify(console: Console, verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    """Print the result of the gate: one line per file, one line per mismatch."""
    if as_json:
        rows: list[data.VerifyData] = [
            {
                "path": str(v.path), "arch": v.target.name if v.target else None, "refusals": list(v.refusals),
                "glibc": v.facts.glibc if v.facts else None, "started": v.started.flag, "cpu": v.started.cpu, "pages": v.started.pages,
                "kind": v.kind, **reply(Refused(f"{v.path}: {refusal}") for refusal in v.refusals),
            }
            for v in verdicts
        ]  # fmt: skip
        console.json(rows)
        return
    for verdict in verdicts:
        arch = f" · {verdict.target.name if verdict.target else 'unknown'}" if verdict.kind not in WHOLE else ""
        kind = f" · {verdict.kind}" if verdict.kind not in ("bin", *WHOLE) else ""
        mark = "✗" if verdict.refusals else "✓"
        glibc = f" · glibc {verdict.facts.glibc}" if verdict.facts and verdict.facts.glibc else ""
        started = f" · started with {verdict.started.flag}" if verdict.started.flag else ""
        console.line(f"{mark} {verdict.path}{arch}{kind}{glibc}{started}")
        for refusal in verdict.refusals:
            console.line(f"    {refusal}")


def config(console: Console, config: Config, *, as_json: bool) -> None:
    """Print every setting, its value and the layer that set it."""
    values = flat(config)
    if as_json:
        settings: dict[str, data.ConfigData] = {
            key: {"value": value, "from": config.origins[key]} for key, value in values.items()
        }
        console.json({**settings, **reply()})
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
            **reply(),
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


def clean(console: Console, removed: Sequence[Removed], left: Mapping[Path, str], *, dry: bool, as_json: bool) -> None:
    """Print what was removed, or what would be in a dry run. `left` is what was not, and why."""
    ages = [max(0, int(time.time() - entry.changed)) for entry in removed]
    if as_json:
        rows: list[data.RemovedData] = [
            {"area": entry.area.title, "path": str(entry.path), "size": entry.size, "age": age}
            for entry, age in zip(removed, ages, strict=True)
        ]
        errors = [BuildError(f"{path}: {why}") for path, why in left.items()]
        total = sum(entry.size for entry in removed)
        result: data.CleanData = {"removed": rows, "size": total, "dry": dry, **reply(errors)}
        console.json(result)
    elif removed:
        console.table(
            ("of", "size", "age", "path"),
            (
                (entry.area.title, size(entry.size), f"{age // 86400} d", str(entry.path))
                for entry, age in zip(removed, ages, strict=True)
            ),
        )
        console.line(f"{'would remove' if dry else 'removed'} {size(sum(entry.size for entry in removed))}")
    elif not left:
        console.line("nothing to remove")


def lint(console: Console, linted: Linted, fixed: Sequence[str], *, failed: bool) -> None:
    """Print the result of `lint` as JSON; `lint.command.show` prints the other formats."""
    from buildlib.lint.command import summary
    from buildlib.lint.formats import as_data

    fixable = any(finding.edits for finding in linted.findings)
    help_text = "buildlib lint --fix" if fixable else "the help of each finding says what to do"
    errors = [BuildError(summary(linted), help_text, "lint")] if failed else []
    result: data.LintData = {
        "findings": as_data(linted.findings), "files": len(linted.paths), "fixed": list(fixed), **reply(errors),
    }  # fmt: skip
    console.json(result)
