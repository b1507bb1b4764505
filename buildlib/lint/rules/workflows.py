"""GitHub's workflows: the same traps in the scripts of their steps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from buildlib.lint.analysis import Look
from buildlib.lint.finding import Finding
from buildlib.lint.parsing.containerfile import Script, of_script
from buildlib.lint.parsing.source import Source, Span
from buildlib.lint.rules import downloads

EXPRESSION = re.compile(rb"\$\{\{(?P<told>.*?)\}\}", re.DOTALL)
ASKS = re.compile(rb"matrix|arch|target|platform|inputs", re.IGNORECASE)


def check(source: Source) -> Iterator[Finding]:
    """hardcoded-arch-download in `run:`. A job of one runner has one architecture, which is what its downloads are for: that is told
    as information, and as a warning where the runner is chosen by an expression."""
    import yaml

    try:
        root = yaml.compose(source.raw.decode("utf-8", "replace"), Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return  # GitHub says what is wrong with it
    for _, job in _entries(_of(root, "jobs")):
        runner = getattr(_of(job, "runs-on"), "value", "")
        severity = "warning" if isinstance(runner, str) and "${{" in runner else "info"
        steps = _of(job, "steps")
        for step in steps.value if isinstance(steps, yaml.SequenceNode) else ():
            condition = str(getattr(_of(step, "if"), "value", ""))
            run = _of(step, "run")
            if isinstance(run, yaml.ScalarNode) and not ASKS.search(condition.encode()):
                for one in _step(source, run):
                    yield replace(one, severity=severity)


def _step(source: Source, node: Any) -> Iterator[Finding]:
    text = source.raw.decode("utf-8", "replace")
    start, end = (len(text[: mark.index].encode()) for mark in (node.start_mark, node.end_mark))
    told = source.raw[start:end]
    if node.style in ("|", ">"):  # the mark itself, and what stands behind it
        first = told.partition(b"\n")[0]
        told = b" " * len(first) + told[len(first) :]
    elif node.style:
        told = b" " + told[1:-1] + b" "
    script = Script(EXPRESSION.sub(_variable, told), start)
    yield from downloads.check(Look(of_script(source, script, Span(start, end))))


def _variable(match: re.Match[bytes]) -> bytes:
    """An expression is a variable to the shell, as long as it was; one that chooses is called so."""
    name = b"$ARCH" if ASKS.search(match["told"]) else b"$X"
    return name + b"_" * (len(match[0]) - len(name))


def _of(node: Any, name: str) -> Any:
    return next((value for key, value in _entries(node) if key == name), None)


def _entries(node: Any) -> Iterator[tuple[str, Any]]:
    for key, value in node.value if getattr(node, "id", "") == "mapping" else ():
        yield str(key.value), value
