"""Reads the lines of a history into `records`. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from buildlib.report.history_page.records import (
    LONGEST_MESSAGE,
    SEPARATOR,
    Arch,
    Compilation,
    Crate,
    Image,
    Problem,
    Run,
    Series,
    Step,
    Summary,
    minute,
    number,
    text,
)

Line = Mapping[str, Any]


def summarize(lines: Iterable[Line]) -> Summary:
    """Read the lines of a history, in whatever order they are."""
    by_run: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_run[text(line.get("run"))].append(line)
    ordered = [line for name in sorted(by_run) for line in by_run[name]]  # names of runs are times
    kinds: dict[str, list[Line]] = defaultdict(list)
    for line in ordered:
        kinds[text(line.get("kind"))].append(line)
    runs = tuple(run for name in sorted(by_run, reverse=True) if (run := _run(by_run[name])))
    sizes, compilations = _series(kinds["size"]), tuple(_compilations(kinds["crates"]))
    return Summary(
        runs=runs, problems=_problems(kinds["error"], "message", runs), retries=_problems(_retried(kinds["failure"]), "cause", ()),
        arches=_arches(runs, compilations, sizes), compilations=compilations[::-1], crates=_crates(kinds["crates"]), sizes=sizes,
        counts=_series(kinds["instructions"]), images=tuple(_images(kinds["image"])),
    )  # fmt: skip


def _when(line: Line) -> str:
    return minute(text(line.get("run")))


def _run(lines: Sequence[Line]) -> Run | None:
    """The command with these lines; None if it ran nothing and failed with nothing."""
    steps = sorted(_steps(lines), key=lambda step: step.at)
    latest = {subject(step.title): step for step in steps}  # what is decisive: a retry, or another source, comes later
    marked = tuple(
        Step(one.title, one.at, one.seconds, one.code, last=latest[subject(one.title)] is one) for one in steps
    )
    end = next((line for line in lines if line.get("kind") == "end"), {})
    errors = [line for line in lines if line.get("kind") == "error"]
    if not (steps or errors):
        return None
    span = max((step.at + step.seconds for step in steps), default=0.0) - min((step.at for step in steps), default=0.0)
    code, seconds = number(end.get("code")), number(end.get("seconds"))
    notes = (f"{text(line.get('name'))}: {text(line.get('text'))}" for line in lines if line.get("kind") == "emulation")
    return Run(
        text(lines[0].get("run")), text(lines[0].get("command")), marked, None if code is None else int(code),
        span if seconds is None else seconds, tuple(notes),
    )  # fmt: skip


def _steps(lines: Iterable[Line]) -> Iterator[Step]:
    for line in lines:
        at, seconds = number(line.get("at")), number(line.get("seconds"))
        if line.get("kind") == "step" and at is not None and seconds is not None:
            yield Step(text(line.get("title")), at, seconds, int(number(line.get("code")) or 0))


def subject(title: str) -> str:
    """What a step is for, without the source that it takes: "std for arm64" of "std for arm64, from /usr/src"."""
    return title.partition(",")[0]


def failed(run: Run) -> int:
    """How many things failed for good in a command: steps, or the command itself."""
    return sum(step.code != 0 and step.last for step in run.steps) or int(bool(run.code))


def _retried(lines: Iterable[Line]) -> list[Line]:
    return [line for line in lines if number(line.get("wait")) is not None]


def _problems(lines: Iterable[Line], key: str, runs: Sequence[Run]) -> tuple[Problem, ...]:
    """The problems, each once; those that have happened again count."""
    succeeded = {run.command: run.name for run in reversed(runs) if run.code == 0}
    found: dict[tuple[str, str], Problem] = {}
    for line in lines:
        message, command, when = text(line.get(key), LONGEST_MESSAGE), text(line.get("command")), _when(line)
        if message:
            before = found.pop((message, command), None)
            found[message, command] = Problem(
                message, text(line.get("help"), LONGEST_MESSAGE), command, when, before.count + 1 if before else 1,
                text(line.get("class")), solved=succeeded.get(command, "") > text(line.get("run")),
            )  # fmt: skip
    return tuple(reversed(found.values()))


def _compilations(lines: Iterable[Line]) -> Iterator[Compilation]:
    for line in lines:
        compiled, fresh = number(line.get("compiled")), number(line.get("fresh"))
        if compiled is not None and fresh is not None:
            yield Compilation(_when(line), text(line.get("title")), int(compiled), int(fresh))


def _crates(lines: Iterable[Line]) -> tuple[Crate, ...]:
    """The slowest first. What was compiled again counts as it was last, and of several steps the slowest one."""
    found: dict[tuple[str, str], Crate] = {}
    for line in lines:
        entries = line.get("slowest")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, list) and len(entry) == 4:
                name, title = f"{text(entry[0])} {text(entry[1])}".strip(), text(line.get("title"))
                found[name, title] = Crate(name, title, number(entry[2]) or 0.0, number(entry[3]) or 0.0)
    slowest_of: dict[str, Crate] = {}
    for crate in sorted(found.values(), key=lambda crate: (-crate.seconds, crate.name, crate.title)):
        slowest_of.setdefault(crate.name, crate)
    return tuple(slowest_of.values())


def _series(lines: Iterable[Line]) -> tuple[Series, ...]:
    found: dict[tuple[str, str], Series] = {}
    for line in lines:
        value = number(line.get("value"))
        if value is None:
            continue
        arch, name = text(line.get("arch")), text(line.get("name"))
        series = found.setdefault((arch, name), Series(arch, name))
        series.values[text(line.get("run"))] = value
        sections = line.get("sections")
        if isinstance(sections, dict) and sections:
            sizes = {text(key, 40): number(size) for key, size in sections.items()}
            latest = {key: size for key, size in sizes.items() if size is not None}
            series.sections = [*series.sections[:1], *series.sections[1:][-1:], latest]
    return tuple(sorted(found.values(), key=lambda series: (series.name, series.arch)))


def _arches(runs: Iterable[Run], compilations: Iterable[Compilation], sizes: Iterable[Series]) -> tuple[Arch, ...]:
    found: dict[str, Arch] = {}
    for run in runs:
        by_arch: dict[str, list[Step]] = defaultdict(list)
        for step in run.steps:
            by_arch[step.arch].append(step)
        for name in by_arch.keys() - {""}:
            arch = found.setdefault(name, Arch(name))
            arch.commands += 1
            arch.seconds += sum(step.seconds for step in by_arch[name])
            arch.failed += any(step.code and step.last for step in by_arch[name])
    for one in compilations:
        name, dot, _ = one.title.partition(SEPARATOR)
        if dot:
            arch = found.setdefault(name, Arch(name))
            arch.compiled += one.compiled
            arch.fresh += one.fresh
    for series in sizes:
        found.setdefault(series.arch, Arch(series.arch)).size += list(series.values.values())[-1]
    return tuple(sorted(found.values(), key=lambda arch: (-arch.seconds, arch.name)))


def _images(lines: Iterable[Line]) -> Iterator[Image]:
    """The latest image of each name. The layers of an image that was unchanged are those of the line with the same digest."""
    latest: dict[str, Line] = {}
    layers: dict[tuple[str, str, str], tuple[tuple[str, float], ...]] = {}
    for line in lines:
        name, digest = text(line.get("name")), text(line.get("digest"))
        for platform, entries in _dictionary(line.get("platforms")).items():
            if known := tuple(_layers(entries)):
                layers[name, digest, text(platform, 40)] = known
        latest[name] = line
    for name, line in sorted(latest.items()):
        digest, tags = text(line.get("digest")), line.get("tags")
        platforms = [text(platform, 40) for platform in _dictionary(line.get("platforms"))]
        yield Image(
            name, _when(line), text(line.get("where")), digest, tuple(map(text, tags[:20])) if isinstance(tags, list) else (),
            text(line.get("status")), {platform: layers.get((name, digest, platform), ()) for platform in platforms},
        )  # fmt: skip


def _layers(entries: object) -> Iterator[tuple[str, float]]:
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, list) and len(entry) == 2:
            yield text(entry[0], 80), number(entry[1]) or 0.0


def _dictionary(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
