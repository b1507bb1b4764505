"""The scripts in the steps of GitHub workflows, checked like the script of a RUN."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding
from buildlib.lint.parsing.containerfile import Script, of_script
from buildlib.lint.parsing.source import Source, Span
from buildlib.lint.rules import hardcoded_arch_download, wrong_arch_mapping

if TYPE_CHECKING:
    from yaml import Node, ScalarNode

EXPRESSION = re.compile(rb"\$\{\{(?P<expression>(?:(?!\$\{\{|\}\}).)*)\}\}", re.DOTALL)
SELECTS_ARCH = re.compile(rb"matrix|arch|target|platform|inputs", re.IGNORECASE)


def check(source: Source) -> Iterator[Finding]:
    """Check the downloads in `run:`.

    The downloads of a job are for the architecture of its runner, so that findings are information. They are warnings where an
    expression selects the runner.
    """
    import yaml

    try:
        root = yaml.compose(source.raw.decode("utf-8", "replace"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):  # nested too deeply
        return  # GitHub reports it
    for _, job in _entries(_value(root, "jobs")):
        runner = getattr(_value(job, "runs-on"), "value", "")
        severity = "warning" if isinstance(runner, str) and "${{" in runner else "info"
        steps = _value(job, "steps")
        for step in steps.value if isinstance(steps, yaml.SequenceNode) else ():
            condition = str(getattr(_value(step, "if"), "value", ""))
            run = _value(step, "run")
            if isinstance(run, yaml.ScalarNode) and not SELECTS_ARCH.search(condition.encode()):
                for finding in _check_step(source, run):
                    yield replace(finding, severity=severity)


def _check_step(source: Source, node: ScalarNode) -> Iterator[Finding]:
    text = source.raw.decode("utf-8", "replace")
    start, end = (len(text[: mark.index].encode()) for mark in (node.start_mark, node.end_mark))
    script = source.raw[start:end]
    if node.style in ("|", ">"):  # without the line of the block indicator
        first_line = script.partition(b"\n")[0]
        script = b" " * len(first_line) + script[len(first_line) :]
    elif node.style:
        script = b" " + script[1:-1] + b" "
    file = of_script(source, Script(EXPRESSION.sub(_as_variable, script), start), Span(start, end))
    analysis = Analysis(file)
    yield from hardcoded_arch_download.check(analysis)
    yield from wrong_arch_mapping.check_downloads(analysis)


def _as_variable(match: re.Match[bytes]) -> bytes:
    """A variable of the same length in place of an expression; its name tells whether the expression selects an architecture."""
    name = b"$ARCH" if SELECTS_ARCH.search(match["expression"]) else b"$X"
    return name + b"_" * (len(match[0]) - len(name))


def _value(node: Node | None, key: str) -> Node | None:
    return next((value for name, value in _entries(node) if name == key), None)


def _entries(node: Node | None) -> Iterator[tuple[str, Node]]:
    """The keys and values of a mapping; nothing for other nodes."""
    from yaml import MappingNode

    for key, value in node.value if isinstance(node, MappingNode) else ():
        yield str(key.value), value
