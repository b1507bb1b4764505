"""Words of a command that lead to another command or contain a script: `sudo`, `sh -c`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from buildlib.lint.parsing.containerfile import Piece
from buildlib.lint.parsing.script import Assignment
from buildlib.lint.parsing.source import Span

# Commands that run the command after them, with the number of words in between that are neither options nor their values.
PREFIXES = dict.fromkeys((
    "sudo", "time", "exec", "command", "nohup", "nice", "env", "doas", "then", "builtin", "ionice", "setsid", "stdbuf", "fakeroot",
    "ccache", "sccache", "distcc", "linux32", "linux64", "i386", "eatmydata", "unbuffer", "chronic", "xvfb-run", "proxychains",
    "proxychains4", "timeout",
), 0) | {"gosu": 1, "su-exec": 1, "chroot": 1, "setarch": 1}  # fmt: skip
# Commands that do with `run`: uv run make.
RUNNERS = frozenset({"uv", "poetry", "pipenv", "pdm", "hatch", "rye", "pixi", "conda", "mamba", "micromamba"})
# Their options with a value in the next word.
VALUE_OPTION = re.compile(
    r"-[ugCs]|--(?:user|group|adjustment|class|signal|kill-after|chdir|unset|with|python|extra|name|prefix)"
)
# Variables for such commands, which are empty where they are not needed: $SUDO make.
PREFIX_VARIABLE = re.compile(r"\"?\$(?:\{(?P<braced>\w+)(?::?[-+][^{}]*)?\}|(?P<bare>\w+))\"?")
PREFIX_NAME = re.compile(
    r"(?:^|_)(?:sudo\w*|doas|setarch|linux32|s?ccache|nice|ionice|time|timeout|wrapper|launcher|prefix|fakeroot|chroot\w*|proxychains|torsocks"
    r"|as_?root|run_?as\w*|emulator|gosu)$",
    re.IGNORECASE,
)
LAST = 200  # assignments before a command that are read
COMMAND_NAME = re.compile(r"[A-Za-z./][\w./+-]*")
OPTION = re.compile(r"-|\w+=|\d+[smhd]?$")
# Ends of statements, which are no commands.
ENDS = frozenset({"fi", "done", "esac"})
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "su", "runuser"})


def behind_prefix(words: Sequence[Piece], assignments: Sequence[Assignment]) -> list[Piece] | None:
    """The words of the command that the first word runs, as sudo does; None if it runs none.

    A variable runs one if its name says so, or if the `assignments` before it set it to nothing or to such a command.
    """
    name = words[0].bare.rpartition("/")[2] if len(words) > 1 else ""
    after = list(words[1:])
    if name == "command" and after[0].bare in ("-v", "-V"):
        return None  # it only asks
    if name in RUNNERS and after[0].bare == "run":
        skipped, after = 0, after[1:]
    elif words and [word.bare for word in after[:2]] == ["-m", "pip"]:  # python -m pip
        return after[1:]
    elif name in PREFIXES:
        skipped = PREFIXES[name]
    elif name and _is_prefix_variable(words[0].text, assignments):
        skipped = 0
        if not COMMAND_NAME.fullmatch(after[0].bare):
            return None
    else:
        return None
    while after and (OPTION.match(after[0].bare) or skipped):
        is_option = bool(OPTION.match(after[0].bare))
        skipped -= not is_option
        takes_value = VALUE_OPTION.fullmatch(after[0].bare) or (name in RUNNERS and after[0].bare in ("-n", "-p"))
        has_value = takes_value and len(after) > 2
        after = after[2:] if has_value else after[1:]
    return after or None


def _is_prefix_variable(word: str, assignments: Sequence[Assignment]) -> bool:
    match = PREFIX_VARIABLE.fullmatch(word)
    if match is None:
        return False
    name = match["braced"] or match["bare"]
    before = assignments[-LAST:]
    set_to = [one.values[0].bare if one.values else "" for one in before if one.name == name]
    if set_to:
        return all(not value or value.split()[0].rpartition("/")[2] in PREFIXES for value in set_to)
    return bool(PREFIX_NAME.search(name))


def script_argument(words: Sequence[Piece]) -> Piece | None:
    """The script that a command passes to a shell: the word after -c."""
    if words and words[0].bare.rpartition("/")[2] in SHELLS:
        return next((word for flag, word in pairwise(words) if re.fullmatch(r"-[a-z]*c", flag.bare)), None)
    return None


def unquoted(word: Piece) -> Piece:
    """The word without the quotes around it; its place shrinks with it."""
    quote_length = int(word.text[:1] in ("'", '"'))
    text = word.text[quote_length : len(word.text) - quote_length]
    return Piece(text, Span(word.span.start + quote_length, word.span.end - quote_length))
