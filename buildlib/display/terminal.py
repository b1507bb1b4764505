"""What a stream can show: colours, encodings, terminals. Colours never change the text."""

from __future__ import annotations

import codecs
import io
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console as Rich

Color = Literal["auto", "always", "never"]
COLORS: tuple[Color, ...] = ("auto", "always", "never")
_SGR = re.compile(r"\x1b\[[0-9;:]*m")
# ECMA-48, as rich writes them for the same styles.
_CODES = {"bold": "1", "bright_black": "90", "green": "32", "yellow": "33", "bold red": "1;31"}
_OFF = ("", "0", "false")


def wanted_colours(choice: Color, env: Mapping[str, str]) -> bool | None:
    """Whether the user wants colours, None where a terminal is to decide.

    --color comes first; then NO_COLOR with any value (no-color.org), FORCE_COLOR and CLICOLOR_FORCE unless they are 0, and
    CLICOLOR=0 (bixense.com/clicolors).
    """
    if choice != "auto":
        return choice == "always"
    if env.get("NO_COLOR"):
        return False
    if any(env.get(name, "").lower() not in _OFF for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return False if env.get("CLICOLOR") == "0" or env.get("FORCE_COLOR", "").lower() in ("0", "false") else None


def coloured(text: str, style: str) -> str:
    """The text in a style of messages, line by line, for what is no terminal: logs are cut and sorted by lines."""
    code = _CODES.get(style)
    return "\n".join(f"\x1b[{code}m{line}\x1b[0m" for line in text.split("\n")) if code else text


def without_colours(text: str) -> str:
    """The text without the colours that a tool has put into it."""
    return _SGR.sub("", text)


def columns(text: str) -> int:
    """How many columns of a terminal a text in one line takes: two for a character of Chinese or Japanese, none for an accent."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is open and a terminal."""
    return stream is not None and stream.isatty()


def width(stream: TextIO) -> int:
    """The columns of a terminal, also after it was resized. $COLUMNS is asked where the terminal does not know, then it is 80."""
    with suppress(OSError, ValueError):
        if known := os.get_terminal_size(stream.fileno()).columns:
            return known
    text = os.environ.get("COLUMNS", "")
    return int(text) if text.isdecimal() and int(text) else 80


def is_utf8(stream: TextIO | None) -> bool:
    """Whether the stream's encoding has every character."""
    return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name == "utf-8"


def escape_unencodable(stream: TextIO | None) -> None:
    """Escape what the encoding (ASCII, Latin-1) does not have, such as ✓, instead of failing.

    In the C locale Python does it itself (PEP 538, PEP 540), and prints the bytes of file names as they are.
    """
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")


def rich_console(stream: TextIO, colour: bool) -> Rich:
    """A console of rich for a terminal. Its width is that of the terminal, with and without colours."""
    from rich.console import Console as Rich

    class Output(Rich):
        def on_broken_pipe(self) -> None:
            """Let BrokenPipeError through; rich would exit with code 1 from here."""
            raise  # noqa: PLE0704  called while the error is handled

    # Without a colour system rich writes no bold either.
    return Output(
        file=stream, force_terminal=colour or None, no_color=not colour, color_system="auto" if colour else None, markup=False,
        highlight=False, emoji=False,
    )  # fmt: skip
