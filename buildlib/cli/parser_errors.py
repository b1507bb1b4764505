"""Errors of Invoke's parser in our words, with the nearest known option or command."""

from __future__ import annotations

import re
from collections.abc import Iterable

from invoke.exceptions import ParseError
from invoke.parser.context import translate_underscores

from buildlib.cli import command_list
from buildlib.cli.collection import namespace
from buildlib.core.errors import UsageError
from buildlib.core.targets import nearest

# Options of cargo that are passed on behind `--`, and the commands that do so.
OF_CARGO = re.compile(
    r"--(all-targets|bench|benches|doc|examples|ignore-rust-version|keep-going|no-fail-fast|no-run|test|tests|timings)(=|$)|-Z"
)
PASS_ON = ("build", "plan", "test", "image")


def explain(error: ParseError, argv: Iterable[str]) -> UsageError:
    """Invoke's parser error in our words. `argv` is the command line that it parsed."""
    text = str(error)
    command = (error.context.name if error.context is not None else "") or ""
    if without := re.match(r"Flag <Argument: ([\w-]+)", text):
        return without_value(f"--{translate_underscores(without[1])}", command)
    word = next(iter(re.findall(r"'(.*?)'", text)), "")
    if "is ambiguous" in text:  # the name of a command behind an option whose value may be left out
        return UsageError(f"{word!r} may be the option's value or a command", "write the value as OPTION=VALUE")
    if "No idea what" not in text:
        return UsageError(f"{text[:1].lower()}{text[1:].rstrip('!')}", _see(command))
    return _unknown(word, command, error, argv)


def _unknown(word: str, command: str, error: ParseError, argv: Iterable[str]) -> UsageError:
    """The error for a word that is neither an option nor a command."""
    if error.context is not None and (
        switch := next((one for one in argv if one.startswith("-") and one.partition("=")[1:] == ("=", word)), "")
    ):
        return UsageError(f"option {switch.partition('=')[0]!r} takes no value", _see(command))
    if not word.startswith("-"):
        return unknown_command(word, command)
    if OF_CARGO.match(word) and command in PASS_ON:
        return UsageError(f"unknown option {word!r}", f"it is an option of cargo: buildlib {command} -- {word}")
    known = [one for one in (error.context.flags if error.context is not None else ()) if len(one) > 2]
    return UsageError(f"unknown option {word!r}", _nearest(word, known) or _see(command))


def unknown_command(word: str, after: str = "") -> UsageError:
    """The error for a word where a command belongs; `after` is the command before it."""
    near = _nearest(word, (*command_list.names(), *namespace.task_names))
    if after and not near:
        return UsageError(f"{after}: unexpected argument {word!r}", _see(after))
    return UsageError(f"unknown command {word!r}", near or _see())


def without_value(option: str, command: str = "") -> UsageError:
    """The error for an option at the end of the command line that takes a value."""
    return UsageError(f"option {option!r} needs a value", _see(command))


def not_a_number(error: ValueError) -> UsageError:
    """The error for a word where an option of Invoke's takes a number."""
    words = re.search(r"invalid literal for int\(\) with base 10: (.+)", str(error))
    return UsageError(f"expected a number, got {words[1]}" if words else str(error), _see())


def _nearest(word: str, known: Iterable[str]) -> str:
    near = nearest(word, list(known))
    return f"did you mean {near!r}?" if near else ""


def _see(command: str = "") -> str:
    return f"see buildlib {command} --help" if command else "see buildlib --help"
