"""Compilers that one build of a Dockerfile would run on the target platform: the rule emulated-compile for the stages it uses.

Pure. `emulated_compiles` is for the time before a build, `run_compilers` for while it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding
from buildlib.lint.ignore_comments import WHOLE_FILE, ignored_rules
from buildlib.lint.parsing import containerfile
from buildlib.lint.parsing.containerfile import File, Instruction, Stage
from buildlib.lint.parsing.source import Source
from buildlib.lint.rules import emulated_compile

RULE = "emulated-compile"
# $NAME, ${NAME}, ${NAME:-word} and ${NAME-word}.
VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::?-(?P<word>[^{}]*))?\}|(?P<bare>\w+))")
# BuildKit sets these for each platform of a build; they stay as they are.
AUTOMATIC = re.compile(r"(?:TARGET|BUILD)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)")
NESTED = 5  # values of arguments that contain others
MAX_TEXT = 10_000  # characters of a name with arguments; values that contain themselves grow


def emulated_compiles(path: Path, data: bytes, args: Mapping[str, str], target: str = "") -> list[Finding]:
    """The findings of emulated-compile in the stages of a Dockerfile that a build uses, in the order of the file.

    `args` are its build arguments, `target` is the name or number of the stage that is built, "" for the last one. A comment turns a
    finding off, as for `buildlib lint`. Whether the platforms of the build are emulated at all is the caller's to know.
    """
    source = Source(path, data)
    analysis = Analysis(containerfile.read(source))
    resolved = _Resolved(analysis.file, args)
    used, ignored = resolved.used(target), ignored_rules(source)
    return [
        finding
        for stage, _, script in analysis.runs()
        if stage.number in used and not emulated_compile.is_other_platform(resolved.platforms(stage))
        for finding in emulated_compile.check_script(source, script)
        if not any(finding.rule in ignored.get(at, ()) for at in (WHOLE_FILE, finding.line))
    ]


def run_compilers(path: Path, data: bytes) -> Callable[[str], str]:
    """The function that returns the compiler of a RUN of this Dockerfile from the text that BuildKit shows of it, "" for none.

    It is `emulated_compile.compiles`, and knows the heredocs too, of which BuildKit shows the first line. If several begin with the
    same line, all of them must compile.
    """
    analysis = Analysis(containerfile.read(Source(path, data)))
    by_line: dict[str, list[str]] = {}
    for _, instruction, script in analysis.runs():
        for heredoc in instruction.heredocs[:1]:
            compiler = emulated_compile.first_compiler(script)
            by_line.setdefault(_first_line(heredoc.text), []).append(compiler.name if compiler else "")

    def compiler_of(run_text: str) -> str:
        if found := emulated_compile.compiles(run_text):
            return found
        heredoc = emulated_compile.HEREDOC.fullmatch(run_text.strip().removeprefix("ONBUILD ").removeprefix("RUN "))
        compilers = by_line.get(_first_line(heredoc["first"]), [""]) if heredoc else [""]
        return compilers[0] if all(compilers) else ""

    return compiler_of


def _first_line(heredoc: str) -> str:
    """The first line, with single spaces, as the names of steps have them."""
    return " ".join(heredoc.strip().partition("\n")[0].split())


class _Resolved:
    """The stages of a file as a build with these arguments sees them."""

    def __init__(self, file: File, args: Mapping[str, str]) -> None:
        self.file = file
        defaults = {
            name.text: value.bare
            for instruction in file.before
            if instruction.kind == "arg"
            for name, value in instruction.pairs
            if value is not None
        }
        self.args = {name: value for name, value in (defaults | dict(args)).items() if not AUTOMATIC.fullmatch(name)}

    def expand(self, text: str) -> str:
        """The text with the values of arguments; what is unknown stays."""

        def value(match: re.Match[str]) -> str:
            name = match["braced"] or match["bare"]
            if AUTOMATIC.fullmatch(name):
                return f"${{{name}}}"
            return self.args.get(name) or (match[0] if match["word"] is None else match["word"])

        for _ in range(NESTED):
            text = VARIABLE.sub(value, text[:MAX_TEXT])
        return text

    def stages(self, reference: str, before: int, *, numbered: bool = True) -> list[int]:
        """The numbers of the stages before number `before` that a name means; several, if it has an unknown variable."""
        name = self.expand(reference).strip("\"'").lower()
        if numbered and name.isdecimal():
            return [int(name)] if len(name) < 9 and int(name) < before else []
        parts = [re.escape(part) for part in re.split(r"\$\{?\w+\}?", name)]
        if len(parts) > 1 and not any(parts):
            return [stage.number for stage in self.file.stages[:before] if stage.name]
        pattern = re.compile(".+".join(parts))
        found = [stage.number for stage in self.file.stages[:before] if pattern.fullmatch(stage.name.lower())]
        return found if len(parts) > 1 else found[-1:]

    def used(self, target: str) -> set[int]:
        """The numbers of the stages that a build of `target` needs."""
        count = len(self.file.stages)
        pending = self.stages(target, count) if target else [count - 1] * bool(count)
        used: set[int] = set()
        while pending:
            number = pending.pop()
            if number in used:
                continue
            used.add(number)
            stage = self.file.stages[number]
            pending += self.parents(stage)
            for instruction in stage.instructions:
                for name in _sources(instruction):
                    pending += self.stages(name, number)
        return used

    def parents(self, stage: Stage) -> list[int]:
        """The stages that a stage may be based on."""
        return self.stages(stage.base.text, stage.number, numbered=False)

    def platforms(self, stage: Stage) -> Iterator[str]:
        """The platforms of a stage and of the stages that it is based on, of several the first."""
        current: Stage | None = stage
        while current is not None:
            if current.platform is not None:
                yield self.expand(current.platform.text)
            parents = self.parents(current)
            current = self.file.stages[parents[0]] if parents else None


def _sources(instruction: Instruction) -> Iterator[str]:
    """The names of the images and stages from which an instruction takes files."""
    if (source := instruction.flag("from")) is not None:
        yield source.text
    for flag in instruction.flags:
        if flag.text.startswith("--mount="):
            options = (option.partition("=") for option in flag.text.removeprefix("--mount=").split(","))
            yield from (value for name, _, value in options if name == "from")
