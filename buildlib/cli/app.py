"""The console scripts `buildlib` and `cargo-buildlib`: Invoke's program over the collection of commands, with our exit codes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any

from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from buildlib import __version__
from buildlib.cli.collection import namespace
from buildlib.cli.entry import debug_requested, report_errors
from buildlib.core.targets import nearest
from buildlib.process.console import Console, discard_stdout, flush_stdout

# Commands whose words are paths, and the option that these become.
POSITIONAL = {"verify": "--path", "explain": "--file", "lint": "--path"}
PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells report it


class Buildlib(Program):
    """Invoke's program with our exit codes, our parser errors, and paths behind `verify`, `lint` and `explain`."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the core options of `argv`, without --debug, which only `entry` reads: Invoke would log every step of its own."""
        words = sys.argv if argv is None else argv
        end = words.index("--") if "--" in words else len(words)
        before = [word for word in words[:end] if word != "--debug"]
        self._parse(super().parse_core, with_paths([*before, *words[end:]]))

    def parse_tasks(self) -> None:
        """Parse the command and its options."""
        self._parse(super().parse_tasks)

    def parse_cleanup(self) -> None:
        """Show the help that was asked for."""
        self._parse(super().parse_cleanup)

    def _parse(self, parse: Callable[..., None], *args: Any) -> None:
        try:
            parse(*args)
        except ParseError as error:
            raise Exit(_explain(error), code=2) from None


def _explain(error: ParseError) -> str:
    """Invoke's parser error in our words, with the nearest known option or command."""
    text = str(error)
    word = next(iter(re.findall(r"'(.+?)'", text)), "")
    known = _options(error) if word.startswith("-") else namespace.task_names
    kind = "option" if word.startswith("-") else "command"
    if "No idea what" not in text:
        return f"error: {text[:1].lower()}{text[1:]}"
    near = nearest(word, known)
    return f"error: unknown {kind} {word!r}" + (f"\n  help: did you mean {near!r}?" if near else "\n  help: see --help")


def _options(error: ParseError) -> list[str]:
    """The options of the command in which the error occurred."""
    return list(error.context.flags) if error.context is not None else []


def with_paths(argv: list[str]) -> list[str]:
    """`verify a b` as `verify --path a --path b`: Invoke has no positional argument that may be left out or repeated."""
    flag = POSITIONAL.get("".join(argv[1:2]))
    if not flag:
        return argv
    words, takes_value = argv[:2], False
    for word in argv[2:]:
        words += [word] if takes_value or (word.startswith("-") and word != "-") else [flag, word]
        takes_value = word in (flag, "--glibc", "--format", "--rule")
    return words


def main() -> None:
    """Run `buildlib`. Exit code 141 if the reader of its output has gone (`buildlib lint | head`)."""
    program = Buildlib(name="buildlib", binary="buildlib", version=__version__, namespace=namespace)
    try:
        sys.exit(report_errors(Console(os.environ), lambda: _run(program), debug=debug_requested()))
    except BrokenPipeError:
        discard_stdout()  # nobody reads the rest
        sys.exit(PIPE_CLOSED)


def _run(program: Program) -> int:
    try:
        program.run()
    finally:
        flush_stdout()
    return 0


def main_of_cargo() -> None:
    """Run `cargo buildlib …`: cargo starts `cargo-buildlib buildlib …`."""
    if sys.argv[1:2] == ["buildlib"]:
        del sys.argv[1]
    main()
