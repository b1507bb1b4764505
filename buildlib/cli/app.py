"""The console scripts `buildlib` and `cargo-buildlib`: Invoke's program over the collection of commands, with our exit codes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from invoke.exceptions import Exit, ParseError, UnknownFileType
from invoke.parser import Parser
from invoke.parser.context import ParserContext
from invoke.program import Program

from buildlib import __version__
from buildlib.cli import command_list
from buildlib.cli.collection import namespace
from buildlib.cli.command_list import POSITIONAL
from buildlib.cli.entry import color_requested, debug_requested, json_requested, report_errors, without_color
from buildlib.core.errors import UsageError
from buildlib.process.console import Console
from buildlib.process.standard_streams import discard, flush_stdout, writing_to_stdout

LIST_FORMATS = ("flat", "nested", "json")  # of --list
PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells report it


class Buildlib(Program):
    """Invoke's program with our exit codes, our parser errors, and paths behind `verify`, `lint` and `explain`."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the core options of `argv`, without --debug, which only `entry` reads: Invoke would log every step of its own."""
        words = without_color(sys.argv if argv is None else argv)[1]
        end = words.index("--") if "--" in words else len(words)
        before = [word for word in words[:end] if word != "--debug"]
        self._parse(super().parse_core, [*with_paths(in_our_words(before)), *words[end:]])

    def parse_tasks(self) -> None:
        """Parse the command and its options."""
        self._parse(super().parse_tasks)
        flags = self.tasks[-1].flags if self.tasks else {}
        words = self.core.unparsed
        for word, following in zip_longest(words, words[1:]):
            # Invoke misses the value of every other kind itself.
            if word in flags and flags[word].kind is list and (following is None or following in flags):
                from buildlib.cli.parser_errors import without_value

                raise without_value(word, self.tasks[-1].name or "")

    def _make_parser(self) -> Parser:
        """A parser of the commands that the command line names: Invoke would make the options of all, and copy them."""
        if self.args.complete.value:  # the words are behind `--`
            return super()._make_parser()
        words = {*self.core.unparsed, self.args.help.value}  # `--help build`
        commands = [
            ParserContext(name=name, aliases=aliases, args=self.collection[name].parsed_arguments())
            for name, aliases in self.collection.task_names.items()
            if not words.isdisjoint((name, *aliases))
        ]
        return Parser(initial=self.initial_context, contexts=commands)

    def parse_cleanup(self) -> None:
        """Show the help that was asked for."""
        if self.args.version.value:  # behind a command, too
            self.print_version()
            raise Exit
        root = self.args.list.value
        if isinstance(root, str) and root not in self.collection.collections:
            from buildlib.core.targets import suggestion

            raise UsageError(f"unknown group of commands {root!r}", suggestion(root, self.collection.collections))
        form = self.args["list-format"].value
        if form not in LIST_FORMATS:
            from buildlib.core.targets import suggestion

            raise UsageError(f"unknown list format {form!r}", suggestion(form, LIST_FORMATS))
        self._parse(super().parse_cleanup)

    def create_config(self) -> None:
        """Read Invoke's own files, such as ~/.invoke.yaml."""
        try:
            super().create_config()
        except Exception as error:  # of YAML, JSON or Python, which one of the files contains
            raise UsageError(f"Invoke's configuration (/etc/invoke.*, ~/.invoke.*): {_one_line(error)}") from None

    def update_config(self, merge: bool = True) -> None:
        """Read the file that `--config` names."""
        file, help_text = self.args.config.value, "it is a file of Invoke's; cargo's own --config goes behind --"
        try:
            super().update_config(merge)
        except UnknownFileType:
            raise UsageError(f"--config {file}: expected a file .yaml, .json or .py", help_text) from None
        except Exception as error:
            raise UsageError(f"--config {file}: {_one_line(error)}", help_text) from None

    def print_help(self) -> None:
        """Print our own page of the program."""
        from buildlib.usage.help_pages import program_page

        Console(os.environ).line(program_page(command_list.outline(), __version__, _columns()))

    def print_task_help(self, name: str) -> None:
        """Print our own page of the command."""
        from buildlib.usage.help_pages import command_page

        name = next(iter(self.collection.task_names.get(name, ())), name)
        Console(os.environ).line(command_page(command_list.describe(name), _columns()))

    def _parse(self, parse: Callable[..., None], *args: Any) -> None:
        try:
            with writing_to_stdout():  # help and the list of commands are printed here
                parse(*args)
        except ParseError as error:
            from buildlib.cli.parser_errors import explain

            raise explain(error, self.argv) from None
        except ValueError as error:
            from buildlib.cli.parser_errors import not_a_number

            raise not_a_number(error) from None
        except Exit as error:
            if error.message:  # an error of Invoke; without a message, what was asked for has been shown
                raise UsageError(error.message.rstrip("!"), "see buildlib --help") from None
            raise


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _columns() -> int:
    """How wide a page of help may be: as the terminal or COLUMNS say, 80 in a pipe."""
    return shutil.get_terminal_size().columns


def in_our_words(argv: list[str]) -> list[str]:
    """Words that other tools have as Invoke knows them: `help build` of cargo and docker, --dry-run of cargo."""
    words = ["--dry" if word == "--dry-run" else word for word in argv]
    if words[1:2] == ["help"]:
        return [words[0], *(word for word in words[2:3] if word != "help"), "--help"]
    return words


def with_paths(argv: list[str]) -> list[str]:
    """`verify a b` as `verify --path a --path b`: Invoke has no positional argument that may be left out or repeated."""
    flag = POSITIONAL.get("".join(argv[1:2]))
    if not flag:
        return argv
    valued = {flag, *(word for one in command_list.describe(argv[1]).options if one.takes_value for word in one.words)}
    words, takes_value = argv[:2], False
    for word in argv[2:]:
        words += [word] if takes_value or (word.startswith("-") and word != "-") else [flag, word]
        takes_value = word in valued
    return words


def main() -> None:
    """Run `buildlib`. Exit code 141 if the reader of its output has gone (`buildlib lint | head`)."""
    console = Console(os.environ, color=color_requested())
    console.as_json = json_requested()
    program = Buildlib(name="buildlib", binary="buildlib", version=__version__, namespace=namespace)
    try:
        sys.exit(report_errors(console, lambda: _run(program), debug=debug_requested()))
    except BrokenPipeError:
        discard(sys.stdout)  # nobody reads the rest
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
