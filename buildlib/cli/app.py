"""The console scripts `buildlib` and `cargo-buildlib`: Invoke's program over the collection of commands, with our exit codes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any

from invoke.exceptions import Exit, ParseError, UnknownFileType
from invoke.program import Program

from buildlib import __version__
from buildlib.cli.collection import namespace
from buildlib.cli.entry import debug_requested, report_errors
from buildlib.core.errors import UsageError
from buildlib.core.targets import nearest, suggestion
from buildlib.process.console import Console, discard, flush_stdout, writing_to_stdout

# Commands whose words are paths, and the option that these become.
POSITIONAL = {"verify": "--path", "explain": "--file", "lint": "--path"}
LIST_FORMATS = ("flat", "nested", "json")  # of --list
# Options of cargo that are passed on behind `--`, and the commands that do so.
OF_CARGO = re.compile(
    r"--(all-targets|bench|benches|doc|examples|ignore-rust-version|keep-going|no-fail-fast|no-run|test|tests|timings)(=|$)|-Z"
)
PASS_ON = ("build", "plan", "test", "image")
PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells report it


class Buildlib(Program):
    """Invoke's program with our exit codes, our parser errors, and paths behind `verify`, `lint` and `explain`."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the core options of `argv`, without --debug, which only `entry` reads: Invoke would log every step of its own."""
        words = sys.argv if argv is None else argv
        end = words.index("--") if "--" in words else len(words)
        before = [word for word in words[:end] if word != "--debug"]
        self._parse(super().parse_core, [*with_paths(in_our_words(before)), *words[end:]])

    def parse_tasks(self) -> None:
        """Parse the command and its options."""
        self._parse(super().parse_tasks)
        last = "".join(self.core.unparsed[-1:])
        option = self.tasks[-1].flags.get(last) if self.tasks else None
        if option is not None and option.kind is list:  # Invoke misses the value of every other kind itself
            raise _without_value(last)

    def parse_cleanup(self) -> None:
        """Show the help that was asked for."""
        form = self.args["list-format"].value
        if form not in LIST_FORMATS:
            raise UsageError(f"unknown list format {form!r}", suggestion(form, LIST_FORMATS))
        self._parse(super().parse_cleanup)

    def update_config(self, merge: bool = True) -> None:
        """Read the file that `--config` names."""
        try:
            super().update_config(merge)
        except UnknownFileType as error:
            raise UsageError(f"--config: {error}", "cargo's own --config goes behind --") from None

    def _parse(self, parse: Callable[..., None], *args: Any) -> None:
        try:
            with writing_to_stdout():  # help and the list of commands are printed here
                parse(*args)
        except ParseError as error:
            raise _explain(error) from None
        except ValueError as error:  # a word where a core option takes a number
            raise UsageError(str(error), "see --help") from None
        except Exit as error:
            if error.message:  # an error of Invoke; without a message, what was asked for has been shown
                raise UsageError(error.message, "see --list") from None
            raise


def _explain(error: ParseError) -> UsageError:
    """Invoke's parser error in our words, with the nearest known option or command."""
    text = str(error)
    word = next(iter(re.findall(r"'(.+?)'", text)), "")
    known = _options(error) if word.startswith("-") else namespace.task_names
    kind = "option" if word.startswith("-") else "command"
    if needy := re.match(r"Flag <Argument: (\w+)", text):
        return _without_value(f"--{needy[1].replace('_', '-')}")
    if "No idea what" not in text:
        return UsageError(f"{text[:1].lower()}{text[1:]}")
    near = nearest(word, known)
    if OF_CARGO.match(word) and error.context is not None and error.context.name in PASS_ON:
        return UsageError(f"unknown option {word!r}", f"it is cargo's: buildlib {error.context.name} -- {word}")
    return UsageError(f"unknown {kind} {word!r}", f"did you mean {near!r}?" if near else "see --help")


def _without_value(option: str) -> UsageError:
    return UsageError(f"option {option!r} needs a value", "see --help")


def _options(error: ParseError) -> list[str]:
    """The options of the command in which the error occurred."""
    return list(error.context.flags) if error.context is not None else []


def in_our_words(argv: list[str]) -> list[str]:
    """Words that other tools have as Invoke knows them: `help build` of cargo and docker, --dry-run of cargo."""
    words = ["--dry" if word == "--dry-run" else word for word in argv]
    if words[1:2] == ["help"]:
        return [words[0], *words[2:], "--help"]
    return words


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
