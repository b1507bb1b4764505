"""The line that states why a process failed whose output cargo shows after a headline: a build script, or `rustc` when asked.

Pure. This is for programs without rules of their own: what a known tool prints is found by rules/*.toml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from buildlib.failures.log import Line
from buildlib.failures.noise import CANCELED, WRAPPER

# What follows the output: cargo about the next crate, and the programs that called cargo.
END = re.compile(
    r"""error\[E | error:\s(?:could\snot\s(?:compile|document)|failed\sto\srun\scustom|build\sfailed|aborting)
      | warning:\sbuild\sfailed | (?:Compiling|Checking|Finished|Running)\s | ERROR:\sprocess | g?make(?:\[\d+\])?:\s\*\*\*
      | \#\#\[error\] | error:\sRecipe\s | npm\s(?:error|ERR!)\s | error:\s\S+:\scargo\sexited\s""",
    re.VERBOSE,
)
# Directives for cargo, variables that cc, cmake and openssl-sys have read, command lines, progress, backtraces, notes.
NO_STATEMENT = re.compile(
    r"""---\s(?:stdout|stderr)$ | cargo:{1,2}\S | \S+\s=\s(?:None$|Some\() | \S+\sunset$ | running:?\s | --\s
      | exit\sstatus:\s\d+$ | Caused\sby:$ | process\sdidn't\sexit\ssuccessfully | note:\s | Note:\s | (?:=\s)?help:\s | =\s | \|
      | [Ss]tack\sbacktrace:$ | \d+:\s+\S | at\s\S+:\d+
      | (?:TARGET|HOST|OPT_LEVEL|PROFILE|DEBUG|OUT_DIR|\$HOST|\$TARGET)\s=\s""",
    re.VERBOSE,
)
# Up to Rust 1.72 the message is quoted and comes before the place, since 1.73 it is on the lines after it.
PANIC = re.compile(r"thread '.*'(?: \(\d+\))? panicked at (?:'(.*?)(?:', \S+:\d+:\d+)?$|.*:\d+:\d+:$)")
# These say that a command has failed, but not why. The command has printed that before.
REPEATS = re.compile(
    r"""build\sscript\sfailed | assertion\sfailed:\s.*(?:success|status|is_ok) | .*did\snot\s(?:exit|execute)\ssuccessfully
      | .*(?:exit|nonzero)\s(?:code|status) | explicit\spanic | called\s`Option::unwrap | expected\ssuccess | \(\)$""",
    re.VERBOSE | re.IGNORECASE,
)
# A value of std's that does not say what was done with which file or variable; the place in the source tells.
BARE = re.compile(r"called `Result::unwrap\(\)` on an `Err` value: (?:Os \{|NotPresent$)")
PLACE = re.compile(r"[^\s']+:\d+:\d+(?=:?$)")
STATES = re.compile(
    r"\b(?:error|fatal|failed|failure|cannot|could not|couldn't|can't|unable|not found|no such|missing|unsupported|undefined"
    r"|invalid|required?|requires|denied)\b",
    re.IGNORECASE,
)
FEW = 10  # lines: a message; more of them are a program's progress, in which the last line counts


def output(lines: Iterable[Line]) -> list[Line]:
    """The lines of the output that begins with the first of `lines`, without those that state nothing."""
    return [line for line in _indented(lines) if line.text and not NO_STATEMENT.match(line.text)]


def _indented(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines up to the end of the output, which cargo indents as much as the line `--- stderr`; older versions do not."""
    margin = 1
    for line in lines:
        if line.text.startswith(("--- stdout", "--- stderr")):
            margin = line.indent
        elif any(end.match(line.text) for end in (END, WRAPPER, CANCELED)) or _is_outside(line, margin):
            return
        yield line


def _is_outside(line: Line, margin: int) -> bool:
    return bool(line.text) and line.indent < margin and not NO_STATEMENT.match(line.text)


def panic(printed: list[Line]) -> Line | None:
    """The first line of a panic's message; None if there is none, or if it only repeats that a command failed.

    It is completed by the line to which its colon leads, and by the place of a panic that says nothing else.
    """
    lines = printed[_headline(printed) :]
    stated = list(_message(lines))
    if not stated or REPEATS.match(stated[0].text):
        return None
    message = stated[0]
    if stated[1:] and message.text.endswith(":"):
        return replace(message, text=f"{message.text} {stated[1].text}")
    place = PLACE.search(lines[0].text) if BARE.match(message.text) else None
    return replace(message, text=f"{place[0]}: {message.text}") if place else message


def statement(printed: list[Line]) -> Line | None:
    """The line that states the cause in an output without a panic, or before it; None if it says nothing."""
    before = printed[: _headline(printed)]
    stated = next((line for line in reversed(before) if STATES.search(line.text)), None)
    if stated or before:
        return stated or (before[0] if len(before) <= FEW else before[-1])
    return next(_message(printed), None)


def _headline(printed: list[Line]) -> int:
    """The index of a panic's first line, or the length."""
    return next((index for index, line in enumerate(printed) if PANIC.match(line.text)), len(printed))


def _message(lines: list[Line]) -> Iterator[Line]:
    """The lines of a panic's message. The first of `lines` is the panic's headline."""
    for line in lines[:1]:
        if (found := PANIC.match(line.text)) and found[1]:
            yield replace(line, text=found[1])
    yield from lines[1:]
