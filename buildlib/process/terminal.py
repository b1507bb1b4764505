"""What a stream can show: colours, encodings, terminals. Colours never change the text."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from rich.console import Console as Rich

Color = Literal["auto", "always", "never"]
COLORS: tuple[Color, ...] = ("auto", "always", "never")
_SGR = re.compile(r"\x1b\[[0-9;:]*m")
# ECMA-48, as rich writes them for the same styles.
_CODES = {"bold": "1", "bright_black": "90", "green": "32", "yellow": "33", "bold red": "1;31"}
_OFF = ("", "0", "false")
PIPE_WIDTH = 200  # columns: a pipe has no width, and a guess that is too narrow would fold digests


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


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is open and a terminal."""
    return stream is not None and stream.isatty()


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
    """A console of rich for the stream. Its width is that of the terminal, with and without colours."""
    from rich.console import Console as Rich

    class Output(Rich):
        def on_broken_pipe(self) -> None:
            """Let BrokenPipeError through; rich would exit with code 1 from here."""
            raise  # noqa: PLE0704  called while the error is handled

    terminal = is_terminal(stream)
    # Without a colour system rich writes no bold either; what a pipe can show is not asked for.
    system: Literal["auto", "standard"] | None = ("auto" if terminal else "standard") if colour else None
    return Output(
        file=stream, force_terminal=colour or None, no_color=not colour, color_system=system, markup=False, highlight=False,
        emoji=False, width=None if terminal else PIPE_WIDTH,
    )  # fmt: skip
