"""The history as one HTML page. It loads nothing, runs no script, and stays small: of long lists the first rows are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from buildlib.report.history_page.html import Html, bar, details, element, html, joined, sparkline, table
from buildlib.report.history_page.records import (
    Compilation,
    Crate,
    Image,
    Problem,
    Run,
    Series,
    Step,
    Summary,
)
from buildlib.report.history_page.summary import Line, failed, subject, summarize

MAX_BYTES = 500_000  # of the page
MOST = (150, 60, 20, 5, 1)  # rows of a list, the next number if the page is too large
RUNS, CRATES, DAYS = 12, 20, 60  # commands with all their steps; the slowest crates; older commands are one row per day
POINTS = 40  # of a small chart
T = TypeVar("T")
STYLE = Path(__file__).with_name("page.css")


def page(lines: Iterable[Line], name: str = "") -> str:
    """Return the HTML document for the lines of the history of the workspace `name`."""
    summary = summarize(lines)
    pages = (_document(summary, name, most) for most in MOST)
    return next((text for text in pages if len(text.encode()) <= MAX_BYTES), _document(Summary(*((),) * 9), name, 1))


def _document(summary: Summary, name: str, most: int) -> str:
    parts = (
        _header(summary, name), _problems(summary, most), _arches(summary, most), _compilations(summary.compilations, most),
        _crates(summary.crates, most), _charts("Sizes of binaries", summary.sizes, size, most),
        _charts("Instructions per iteration", summary.counts, lambda value: f"{value:,.0f}", most),
        _images(summary.images, most), _runs(summary.runs, most),
    )  # fmt: skip
    title = html(f"buildlib report{f': {name}' if name else ''}")
    return PAGE.format(title=title, style=STYLE.read_text(encoding="utf-8"), body="\n".join(filter(None, parts)))


def size(count: float) -> str:
    """A number of bytes with its unit, as in 1.2 MiB."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:.0f} B"


def seconds(value: float) -> str:
    """A time, as in 3.2 s or 12 min 5 s."""
    return f"{value:.1f} s" if value < 120 else f"{value // 60:,.0f} min {value % 60:.0f} s"


def times(count: int, noun: str) -> str:
    """A number with its noun: 1 command, 2 commands."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _few(items: Sequence[T], most: int) -> tuple[Sequence[T], Html]:
    """The first items, and a line that says how many are left out."""
    left = len(items) - most
    return items[:most], element("p", f"and {left:,} more", class_="dim") if left > 0 else Html()


def _header(summary: Summary, name: str) -> Html:
    title = element("h1", f"buildlib report{f': {name}' if name else ''}")
    if not summary.runs:
        return joined((title, element("p", "No command has been recorded yet.")))
    newest, oldest = summary.runs[0], summary.runs[-1]
    state = element("span", "failed", class_="bad") if failed(newest) else element("span", "succeeded", class_="good")
    return joined(
        (
            title,
            element("p", f"{times(len(summary.runs), 'command')}, {oldest.when} to {newest.when} (UTC)", class_="dim"),
            element("p", "The last one, ", _command(newest.command), ", ", state, f" in {seconds(newest.seconds)}."),
        )
    )


def _command(words: str) -> Html:
    return element("code", f"buildlib {words}")


def _problems(summary: Summary, most: int) -> Html:
    problems, more = _few(summary.problems, min(most, 20))
    retries, more_retries = _few(summary.retries, min(most, 20))
    shown = [_problem(problem) for problem in problems]
    if retries:
        rows = ((one.when, one.kind, one.message, str(one.count), one.help) for one in retries)
        count = times(sum(one.count for one in summary.retries), "time")
        shown.append(
            details(f"Tried again {count}", table(("last", "class", "cause", "times", "help"), rows), more_retries)
        )
    return joined((element("h2", "Failures"), *shown, more)) if shown else Html()


def _problem(problem: Problem) -> Html:
    often = f", {times(problem.count, 'time')}" if problem.count > 1 else ""
    solved = ", has succeeded since" if problem.solved else ""
    where = element("p", problem.when, " ", _command(problem.command), often, solved, class_="dim")
    help_text = element("p", element("b", "help: "), problem.help) if problem.help else Html()
    return element(
        "div", element("p", problem.message), help_text, where, class_=f"problem{' solved' * problem.solved}"
    )


def _arches(summary: Summary, most: int) -> Html:
    if not summary.arches:
        return Html()
    arches, more = _few(summary.arches, most)
    rows = (
        (
            arch.name, f"{arch.commands:,}", element("span", f"{arch.failed:,}", class_="bad") if arch.failed else "0",
            seconds(arch.seconds), _crate_count(arch.compiled, arch.fresh), size(arch.size) if arch.size else "",
        )
        for arch in arches
    )  # fmt: skip
    head = ("arch", "commands", "failed", "time", "crates", "binaries")
    return joined((element("h2", "Totals"), table(head, rows), more))


def _crate_count(compiled: int, fresh: int) -> Html:
    """How many were compiled and how many were cached, and a bar of the share that was compiled."""
    both = compiled + fresh
    if not both:
        return Html()
    return joined(
        (f"{compiled:,} compiled, {fresh:,} cached", bar(0, compiled / both, "repeated") if compiled else Html())
    )


def _compilations(compilations: Sequence[Compilation], most: int) -> Html:
    if not compilations:
        return Html()
    shown, more = _few(compilations, min(most, 20))
    rows = ((one.when, one.title, _crate_count(one.compiled, one.fresh)) for one in shown)
    return joined((element("h2", "Compiled and cached"), table(("when", "step", "crates"), rows), more))


def _crates(crates: Sequence[Crate], most: int) -> Html:
    if not crates:
        return Html()
    shown, more = _few(crates, min(most, CRATES))
    longest = crates[0].seconds or 1.0
    rows = (
        (crate.name, crate.title, seconds(crate.seconds), seconds(crate.script) if crate.script >= 0.05 else "",
         bar(0, crate.seconds / longest, "good"))
        for crate in shown
    )  # fmt: skip
    note = "When each was last compiled, for the arch that took longest. Several compile at once: the sum is no build's time."
    head = ("crate", "step", "time", "build script", "")
    return joined((element("h2", "Slowest crates"), element("p", note, class_="dim"), table(head, rows), more))


def _change(value: float, before: float) -> Html:
    """By how many percent a value has changed, "" for not at all."""
    if not before or value == before:
        return Html()
    percent = 100 * (value / before - 1)
    shown = f"{percent:+,.1f} %" if abs(percent) < 100_000 else "more than a thousandfold"
    return element("span", shown, class_="bad" if value > before else "good")


def _charts(title: str, series: Sequence[Series], shown: Callable[[float], str], most: int) -> Html:
    """A row for every series: its latest value, the last change, the change since the first command, and a line."""
    if not series:
        return Html()
    few, more = _few(series, most)
    rows = []
    for one in few:
        values = list(one.values.values())
        other = next((value for value in reversed(values) if value != values[-1]), values[-1])
        name = _sections(one, shown) if one.sections else html(one.name)
        since = _change(values[-1], values[0]) or ("unchanged" if len(values) > 1 else "")
        rows.append((one.arch, name, shown(values[-1]), _change(values[-1], other), since, sparkline(_thinned(values))))
    head = ("arch", "name", "last", "last change", "since the first", "")
    return joined((element("h2", title), table(head, rows), more))


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """At most POINTS values, the first and the last among them."""
    if len(values) <= POINTS:
        return values
    return [values[round(at * (len(values) - 1) / (POINTS - 1))] for at in range(POINTS)]


def _sections(series: Series, shown: Callable[[float], str]) -> Html:
    first, before, latest = series.sections[0], series.sections[-2:][0], series.sections[-1]
    rows = (
        (name, shown(value), _change(value, before.get(name, 0.0)), _change(value, first.get(name, 0.0)))
        for name, value in list(latest.items())[:12]
    )
    return details(series.name, table(("section", "size", "last change", "since the first"), rows))


def _images(images: Sequence[Image], most: int) -> Html:
    if not images:
        return Html()
    few, more = _few(images, most)
    return joined((element("h2", "Images"), *(_image(image, most) for image in few), more))


def _image(image: Image, most: int) -> Html:
    tags = f", tags {', '.join(image.tags)}" if image.tags else ""
    platforms, more = _few(list(image.platforms.items()), most)
    rows = []
    for platform, layers in platforms:
        first, rest = _few(layers, most)
        listed = joined((element("li", f"{size(stored)} ", element("code", digest[:19])) for digest, stored in first))
        folded = details(times(len(layers), "layer"), element("ol", listed), rest) if layers else "not known"
        rows.append((platform, size(sum(stored for _, stored in layers)) if layers else "", folded))
    about = joined((html(f"{image.when}, {image.status}{tags}, "), element("code", image.digest[:19])))
    return joined(
        (
            element("p", element("b", image.name), f" {image.where}"),
            element("p", about, class_="dim"), table(("platform", "stored", "layers"), rows), more,
        )
    )  # fmt: skip


def _runs(runs: Sequence[Run], most: int) -> Html:
    if not runs:
        return Html()
    latest, older = runs[:RUNS], runs[RUNS:]
    newest = next((run for run in latest if run.steps), None)
    shown = [_timeline(run, min(most, 40), is_open=run is newest) for run in latest]
    return joined((element("h2", "Commands"), *shown, _older(older, most) if older else Html()))


def _older(runs: Sequence[Run], most: int) -> Html:
    """The commands before the latest ones: one row per day."""
    days = [(day, list(group)) for day, group in groupby(runs, key=lambda run: run.when[:10])]
    few, more = _few(days, min(most, DAYS))
    rows = (
        (day, f"{len(group):,}", f"{sum(failed(run) > 0 for run in group):,}", seconds(sum(run.seconds for run in group)))
        for day, group in few
    )  # fmt: skip
    return details(f"{times(len(runs), 'older command')}", table(("day", "commands", "failed", "time"), rows), more)


def _timeline(run: Run, most: int, *, is_open: bool) -> Html:
    """One command with a bar per step, from its start to its end. Of many steps the longest are shown."""
    title = joined((_command(run.command), " ", element("small", f"{run.when} · {_outcome(run)}")))
    notes = joined(element("p", note) for note in run.notes)
    if not run.steps:
        return element("p", title)
    start = min(step.at for step in run.steps)
    whole = max(max(step.at + step.seconds for step in run.steps) - start, 0.001)
    longest = sorted(run.steps, key=lambda step: (not step.code, -step.seconds))[:most]  # and those that failed
    kept, left = sorted(longest, key=lambda step: step.at), len(run.steps) - len(longest)
    more = element("p", f"and {times(left, 'shorter step')}", class_="dim") if left else Html()
    return details(title, element("ol", *(_step(step, start, whole) for step in kept)), more, notes, is_open=is_open)


def _outcome(run: Run) -> str:
    last = {subject(step.title): step for step in run.steps}
    repeated = sum(step.code != 0 for step in run.steps) - sum(step.code != 0 for step in last.values())
    parts = [
        seconds(run.seconds), times(len(run.steps), "step"), f"{failed(run)} failed" if failed(run) else "",
        f"{repeated} tried again" if repeated else "", f"exit code {run.code}" if run.code else "",
    ]  # fmt: skip
    return ", ".join(filter(None, parts))


def _step(step: Step, start: float, whole: float) -> Html:
    kind = "good" if not step.code else "bad" if step.last else "repeated"
    note = "" if not step.code else f" (exit code {step.code})" if step.last else " (tried again)"
    track = bar((step.at - start) / whole, step.seconds / whole, kind)
    return element("li", element("span", step.title, note), track, element("b", seconds(step.seconds)), class_="step")


# Nothing may be loaded, whatever a name contains. The icon keeps a browser from asking a server for one.
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
