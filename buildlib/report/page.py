"""The history as one HTML page: where the last commands spent their time, and how sizes and counts changed.

The page is complete in itself: it loads nothing from a network and runs no script.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Line = Mapping[str, Any]

RUNS = 12  # timelines, of the latest runs
WIDTH, ROW, LABEL = 960, 18, 300  # pixels: width of a timeline, height of a row, width of the titles
TITLE = 46  # characters of a title that LABEL has room for
CHART, HEIGHT = 220, 48  # pixels: width and height of a small chart
KINDS = {"size": "Sizes of binaries (bytes)", "instructions": "Instructions per iteration"}


def page(lines: Iterable[Line]) -> str:
    """Return the HTML document for the lines of the history. A run is one command; the newest comes first."""
    lines = list(lines)
    runs: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        runs[str(line["run"])].append(line)
    newest = [runs[name] for name in sorted(runs, reverse=True)]
    timelines = [svg for run in newest if (svg := timeline(run))][:RUNS]
    body = "".join(timelines) or "<p>No command has been recorded yet.</p>"
    series = "".join(charts(kind, title, lines) for kind, title in KINDS.items())
    return PAGE.format(style=STYLE, body=body, charts=series)


def timeline(lines: Sequence[Line]) -> str:
    """Return one run as a chart with a bar per step, from its start to its end; "" for a run without steps."""
    steps = [
        line for line in lines if line["kind"] == "step" and _number(line.get("at")) and _number(line.get("seconds"))
    ]
    if not steps:
        return ""
    start = min(step["at"] for step in steps)
    duration = max(max(step["at"] + step["seconds"] for step in steps) - start, 0.001)
    scale = (WIDTH - LABEL - 60) / duration
    steps.sort(key=lambda step: step["at"])
    last = {_subject(step): step for step in steps}  # what is decisive: a retry, or another source, comes later
    rows = "".join(
        _bar(
            number,
            step,
            LABEL + (step["at"] - start) * scale,
            max(step["seconds"] * scale, 1.0),
            last[_subject(step)] is step,
        )
        for number, step in enumerate(steps)
    )
    failed = sum(bool(step.get("code")) for step in last.values())
    repeated = sum(bool(step.get("code")) for step in steps) - failed
    plural = "" if len(steps) == 1 else "s"
    summary = f"{duration:.1f} s, {len(steps)} step{plural}{f', {failed} failed' if failed else ''}"
    summary += f", {repeated} tried again" if repeated else ""
    return (
        f"<details open><summary><code>buildlib {escape(str(lines[0]['command']))}</code> "
        f"<span>{escape(str(lines[0]['run']))} · {summary}</span></summary>"
        f'<svg width="{WIDTH}" height="{ROW * len(steps) + 4}" role="img">{rows}</svg>'
        f"{_time_by_arch(steps)}{_emulation(lines)}</details>\n"
    )


def _emulation(lines: Iterable[Line]) -> str:
    """What emulation cost in each image."""
    costs = (line for line in lines if line["kind"] == "emulation")
    return "".join(f"<p>{escape(str(line.get('name')))}: {escape(str(line.get('text')))}</p>" for line in costs)


def _subject(step: Line) -> str:
    """What a step is for, without the source that it takes: "std for arm64" of "std for arm64, from /usr/src"."""
    return str(step.get("title", "")).partition(",")[0]


def _bar(number: int, step: Line, left: float, width: float, is_last: bool) -> str:
    y = number * ROW
    text = str(step.get("title", ""))
    short = text if len(text) <= TITLE else f"{text[: TITLE - 1].rstrip()}…"
    title, seconds = escape(text), f"{step['seconds']:.1f} s"
    kind = "good" if not step.get("code") else "bad" if is_last else "repeated"
    return (
        f'<g><title>{title}: {seconds}</title><text x="{LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(short)}</text>'
        f'<rect class="{kind}" x="{left:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" rx="2"/>'
        f'<text class="time" x="{left + width + 4:.1f}" y="{y + 13}">{seconds}</text></g>'
    )


def _time_by_arch(steps: Sequence[Line]) -> str:
    """Return the time spent on each arch, which is the part of a title before the dot."""
    spent: dict[str, float] = defaultdict(float)
    for step in steps:
        arch, dot, _ = str(step.get("title", "")).partition(" · ")
        spent[arch if dot else "other"] += step["seconds"]
    if len(spent) < 2:
        return ""
    shares = (f"{escape(name)} {seconds:.1f} s" for name, seconds in sorted(spent.items(), key=lambda pair: -pair[1]))
    return f"<p>{' · '.join(shares)}</p>"


def charts(kind: str, title: str, lines: Iterable[Line]) -> str:
    """Return a small chart for every series of a kind, with a value per run; "" without any."""
    series: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for line in lines:
        if line["kind"] == kind and _number(line.get("value")):
            series[str(line.get("arch")), str(line.get("name"))][str(line["run"])] = float(line["value"])
    if not series:
        return ""
    figures = "".join(
        _chart(f"{arch} · {name}", [values[run] for run in sorted(values)])
        for (arch, name), values in sorted(series.items())
    )
    return f'<h2>{escape(title)}</h2><div class="plots">{figures}</div>\n'


def _chart(name: str, values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    span = high - low or 1.0
    step = (CHART - 12) / max(len(values) - 1, 1)
    points = [(6 + at * step, HEIGHT - 6 - (value - low) / span * (HEIGHT - 12)) for at, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    change = 100 * (values[-1] / values[0] - 1) if values[0] else 0.0
    label = f"{values[-1]:,.0f}" + (f" ({change:+.1f} % since {values[0]:,.0f})" if len(values) > 1 else "")
    return (
        f'<figure><figcaption>{escape(name)}<br><b>{label}</b></figcaption><svg width="{CHART}" height="{HEIGHT}" role="img">'
        f'<polyline points="{line}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="3"/></svg></figure>'
    )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


STYLE = """
:root { color-scheme: light dark; --good: #2b8a5b; --bad: #c0392b; --repeated: #c08a2b; --dim: #8886; }
body { font: 14px/1.45 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
summary { cursor: pointer; padding: .4em 0; } summary span, p, .time { opacity: .7; font-size: 12px; }
svg text { font-size: 11px; fill: currentColor; } .good { fill: var(--good); } .bad { fill: var(--bad); }
.repeated { fill: var(--repeated); }
.plots { display: flex; flex-wrap: wrap; gap: 1em; }
figure { margin: 0; border: 1px solid var(--dim); border-radius: 6px; padding: .5em; }
figcaption { font-size: 12px; } polyline { fill: none; stroke: var(--good); stroke-width: 1.5; } circle { fill: var(--good); }
"""
PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>buildlib</title><style>{style}</style></head>
<body>
<h1>Recent commands</h1>
{body}
{charts}</body>
</html>
"""
