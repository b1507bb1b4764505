"""The script for fish 3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from buildlib.usage.completion import words
from buildlib.usage.help_pages import Command
from buildlib.usage.option_table import AT_TOP, GLOBAL, Option

_FUNCTIONS = r"""# fish completion for buildlib; made by `buildlib completion fish`
function __buildlib_command
    set -l words (commandline -opc)
    set -e words[1]
    set -l skip 0
    for word in $words
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case --color
                set skip 1
            case '-*'
            case '*'
                echo $word
                return
        end
    end
end
function __buildlib_is
    contains -- -- (commandline -opc); and return 1
    test "$(__buildlib_command)" = "$argv[1]"
end
function __buildlib_list
    set -l token (commandline -ct | string replace -r '^--[^=]*=' '')
    set -l before (string match -r '^.*,' -- $token)
    for value in $argv
        echo "$before$value"
    end
end
complete -c buildlib -e
complete -c buildlib -f
"""


def script(commands: Iterable[Command]) -> str:
    """The script."""
    return _FUNCTIONS + "\n".join(_lines(tuple(commands)))


def _lines(commands: tuple[Command, ...]) -> Iterator[str]:
    """Yield one `complete` for each command and each option."""
    for name, text in [
        *((command.name, command.summary) for command in commands),
        ("help", "show the page of a command"),
    ]:
        yield f"complete -c buildlib -n '__buildlib_is \"\"' -a {_quoted(name)} -d {_quoted(text)}"
    yield f"complete -c buildlib -n '__buildlib_is help' -a {_quoted(words.spaced(command.name for command in commands))}"
    for one in AT_TOP:
        condition = "" if one in GLOBAL else "-n '__buildlib_is \"\"' "
        yield f"complete -c buildlib {condition}{_option(one)}"
    for command in commands:
        condition = f"-n '__buildlib_is {command.name}'"
        for one in command.options:
            yield f"complete -c buildlib {condition} {_option(one)}"
        if command.arguments:
            values = words.spaced(words.fixed(command.arguments))
            yield f"complete -c buildlib {condition} {f'-a {_quoted(values)}' if values else '-F'}"


def _option(option: Option) -> str:
    """The words of an option, what it takes, and its description."""
    flags = words.spaced(f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in option.words)
    return f"{flags}{_value(option)} -d {_quoted(option.help)}"


def _value(option: Option) -> str:
    if not option.takes_value:
        return ""
    known = words.spaced(words.fixed(option)) or (
        f"({words.ASK} {words.asked(option)} 2>/dev/null)" if words.asked(option) else ""
    )
    if known and words.takes_commas(option):
        known = f"(__buildlib_list {known})"
    match option.row.kind:
        case "file":
            return " -r -F"
        case "directory":
            return " -x -a '(__fish_complete_directories)'"
    return f" -x -a {_quoted(known)}" if known else " -x"


def _quoted(text: str) -> str:
    """The text in single quotes of fish."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
