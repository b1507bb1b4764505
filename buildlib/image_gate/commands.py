"""Which program a command line starts in the end: through env, a shell, an init process or a program that changes the user.

Only what is certain: a word that a shell computes, a builtin, or an option that is not known here ends the search, and nothing is
claimed of what comes after it.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

SHELLS = ("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash")
# Wrappers, with their options that take a value in the next word, and the words that they take before the program.
WRAPPERS: dict[str, tuple[tuple[str, ...], int]] = {
    "tini": (("-p", "-e"), 0), "tini-static": (("-p", "-e"), 0), "docker-init": (("-p", "-e"), 0), "catatonit": ((), 0),
    "dumb-init": (("-r", "--rewrite"), 0), "gosu": ((), 1), "su-exec": ((), 1), "nohup": ((), 0),
}  # fmt: skip
# Options that change nothing about which program is started.
PLAIN = ("-s", "-g", "-v", "-vv", "-vvv", "-w", "-c", "--single-child", "--verbose", "-P", "-x")
# What a shell runs by itself: builtins of POSIX, bash and dash, and reserved words.
BUILTINS = re.compile(
    r"[.:!{}()\[]|\[\[|\(\(|alias|bg|bind|break|builtin|caller|case|cd|chdir|command|compgen|complete|compopt|continue|coproc|declare|"
    r"dirs|disown|do|done|echo|elif|else|enable|esac|eval|exit|export|false|fc|fg|fi|for|function|getopts|hash|help|history|if|in|jobs|"
    r"kill|let|local|logout|mapfile|popd|printf|pushd|pwd|read|readarray|readonly|return|select|set|shift|shopt|source|suspend|test|then|"
    r"time|times|trap|true|type|typeset|ulimit|umask|unalias|unset|until|wait|while"
)
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=.*", re.DOTALL)
COMPUTED = re.compile(r"[$`*?\[\]{}~\\!#]|^%")  # in a word: what it becomes is known when the shell runs
OPERATORS = re.compile(r"[;&|()\n]+")
# A redirection to a file descriptor, which shlex would take for a word of its own and an operator: 2>&1, >&2.
DESCRIPTORS = re.compile(r"(?<!\S)\d?(?:>>|[<>])&(?:\d|-)(?=\s|[;&|)]|$)")


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, and where its program is looked for. `path` is the value of PATH, None if it is not known."""

    argv: tuple[str, ...]
    path: str | None
    folder: str  # the working directory


def inner(command: Command) -> Command | None:
    """The command that the program of `command` starts, None if it starts none, or that is not known."""
    name = command.argv[0].rpartition("/")[2]
    if name == "env":
        return _of_env(command)
    if name in SHELLS:
        return _of_shell(command)
    if name in WRAPPERS:
        with_value, words = WRAPPERS[name]
        rest = _without_options(command.argv[1:], with_value)
        return replace(command, argv=rest[words:]) if rest and len(rest) > words else None
    return None


def _without_options(words: Sequence[str], with_value: Iterable[str]) -> tuple[str, ...] | None:
    """The words after the options; None if there is an unknown one."""
    place = 0
    while place < len(words) and words[place].startswith("-"):
        if words[place] == "--":
            return tuple(words[place + 1 :])
        if words[place] not in PLAIN and words[place] not in with_value:
            return None
        place += 2 if words[place] in with_value else 1
    return tuple(words[place:])


# --- env --------------------------------------------------------------------------------------------------------------------


def _of_env(command: Command) -> Command | None:
    """env(1) of coreutils: its options, assignments, then the program."""
    words, result = list(command.argv[1:]), command
    for _ in range(100):  # -S may contain another -S
        if not words or not words[0].startswith("-"):
            break
        if words[0] == "--":
            words = words[1:]
            break
        option = _env_option(words, result)
        if option is None:
            return None
        result, words = option
    while words and "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        result = replace(result, path=value) if name == "PATH" else result
    return replace(result, argv=tuple(words)) if words else None


def _env_option(words: list[str], command: Command) -> tuple[Command, list[str]] | None:
    """Command and words after the first option of env; None for one that is not known."""
    word, *rest = words
    if re.fullmatch(r"-i?v*|-v+i?|--ignore-environment|--debug", word):
        return replace(command, path=None) if word == "-" or "i" in word else command, rest
    if split := re.fullmatch(r"(?:-([iv]*)S|--split-string(?:=|$))(.*)", word, re.DOTALL):
        texts = [split[2]] if split[2] else rest[:1]
        try:  # escapes and variables of -S are not known here
            parts = (
                None if re.search(r"[\\$#]", "".join(texts)) else [part for text in texts for part in shlex.split(text)]
            )
        except ValueError:
            parts = None
        without = replace(command, path=None) if "i" in (split[1] or "") else command
        return None if parts is None else (without, parts + (rest if split[2] else rest[1:]))
    known = re.fullmatch(r"(-u|-C|--unset|--chdir)(?:=(.*))?", word, re.DOTALL)
    if known is None or not (known[2] or rest):
        return None
    value, rest = (known[2], rest) if known[2] else (rest[0], rest[1:])
    if known[1] in ("-C", "--chdir"):
        return replace(command, folder=posixpath.join(command.folder, value)), rest
    return replace(command, path=None) if value == "PATH" else command, rest


# --- shells ----------------------------------------------------------------------------------------------------------------


def _of_shell(command: Command) -> Command | None:
    """The first simple command of `sh -c TEXT`. A login shell reads files that may change everything."""
    words = list(command.argv[1:])
    while words and words[0][:1] in ("-", "+"):
        word = words.pop(0)
        if word.startswith("--") or "l" in word or "s" in word:
            return None
        if "o" in word or "O" in word:
            words = words[1:]
        if "c" in word and word[0] == "-":
            return _simple(replace(command, argv=()), words[0]) if words else None
    return None


def _simple(command: Command, text: str) -> Command | None:
    """The first simple command of a shell's text, if its program is certain to be started."""
    text = DESCRIPTORS.sub(" ", text.strip().replace("\\\n", " ").replace(" &>", " >"))
    first, line_break, _ = text.partition("\n")
    lexer = shlex.shlex(first, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        tokens = list(lexer)
    except ValueError:  # a quotation that does not end in this line
        return None
    words, after = _until_operator(tokens, "\n" if line_break else "")
    words = _without_redirections(words)
    is_exec = False
    while words and (ASSIGNMENT.fullmatch(words[0]) or words[0] == "exec"):
        word = words.pop(0)
        if word.startswith("PATH"):
            return None
        is_exec = is_exec or word == "exec"
    # If the shell goes on whether it succeeds or not, the program may be one that some images lack.
    certain = after in ("", "&&", "|") or (is_exec and after != "||")
    if (
        not words
        or not certain
        or BUILTINS.fullmatch(words[0])
        or COMPUTED.search(words[0])
        or words[0].startswith("-")
    ):
        return None
    if re.search(rf"(?<!\S){re.escape(words[0])}\s*\(", text):  # a function
        return None
    return replace(command, argv=tuple(words))


def _until_operator(tokens: Sequence[str], end: str) -> tuple[list[str], str]:
    """The words before the first operator, and the operator; `end` if there is none."""
    for place, token in enumerate(tokens):
        if OPERATORS.fullmatch(token):
            return list(tokens[:place]), token
        if set(token) <= set("<>&|;()") and not set(token) <= set("<>"):
            return [], token  # operators without a space between
    return list(tokens), end


def _without_redirections(words: Iterable[str]) -> list[str]:
    """The words without redirections and their files."""
    kept: list[str] = []
    skip = False
    for word in words:
        if set(word) <= set("<>") and word:
            skip = True
            if kept and kept[-1].isdigit():
                kept.pop()
        elif not skip:
            kept.append(word)
        else:
            skip = False
    return kept
