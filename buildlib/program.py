"""The console script: Invoke's program over the collection of commands, with our exit codes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any

from invoke import Exit, Program
from invoke.exceptions import ParseError

from buildlib import __version__
from buildlib.cli import namespace
from buildlib.targets import nearest


class Buildlib(Program):
    """The console script: Invoke's program with our exit codes, and words after `verify`, `lint` and `explain` taken as paths."""

    def parse_core(self, argv: list[str] | None) -> None:
        self._usage(super().parse_core, with_paths(sys.argv if argv is None else argv))

    def parse_tasks(self) -> None:
        self._usage(super().parse_tasks)

    def parse_cleanup(self) -> None:
        self._usage(super().parse_cleanup)

    def _usage(self, parse: Callable[..., None], *args: Any) -> None:
        try:
            parse(*args)
        except ParseError as error:
            word = next(iter(re.findall(r"'(.+?)'", str(error))), "")
            near = nearest(word, namespace.task_names)
            raise Exit(f"error: {error}" + (f"\n  cure: did you mean {near!r}?" if near else ""), code=2) from None


def with_paths(argv: list[str]) -> list[str]:
    """`verify a b` as `verify --path a --path b`: Invoke has no positional argument that may be left out or repeated."""
    flag = {"verify": "--path", "explain": "--file", "lint": "--path"}.get("".join(argv[1:2]))
    if not flag:
        return argv
    found, takes_value = argv[:2], False
    for word in argv[2:]:
        found += [word] if takes_value or (word.startswith("-") and word != "-") else [flag, word]
        takes_value = word in (flag, "--glibc", "--format", "--rule")
    return found


def main() -> None:
    """The console script `buildlib`. Who reads no further (`buildlib lint | head`) has what was wanted; 141 is what a shell calls a
    process that SIGPIPE ended."""
    try:
        try:
            Buildlib(name="buildlib", binary="buildlib", version=__version__, namespace=namespace).run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is nobody's
        sys.exit(141)
