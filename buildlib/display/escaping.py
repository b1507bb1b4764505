r"""Make text that comes from elsewhere (tools, file names, logs, registries) safe to print. Pure.

Three readers act on what they are given: a terminal on control characters, a person on the order in which text is shown,
a CI system on lines that look like its commands. What they would act on is shown in escaped form, as in `\x1b[2J`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

# C0 without tab and line feed, DEL, and C1, whose CSI (0x9b) starts a sequence as ESC [ does.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
# Characters that change the direction of text, so that it reads in another order than it has (CVE-2021-42574). It is the
# list of rustc, which replaces them in its messages too (OUTPUT_REPLACEMENTS in rustc_errors). Marks that only help with
# text in Arabic or Hebrew (LRM, RLM, ALM) stay.
_BIDI = "\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[{_CONTROLS}{_BIDI}]")
# What tools write to a terminal that changes nothing but the looks of their own text. Colours (SGR) are kept. Links (OSC 8,
# which cargo writes to pipes too if colours are on) and "erase the rest of the line", which is a part of gcc's colours, are
# removed: without them the same text is shown.
_SGR = r"\x1b\[[0-9;:]*m"
_TOOL_OUTPUT = re.compile(rf"({_SGR})|\x1b\]8;[^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-2]?K|({_UNSAFE.pattern})")
_RESET = "\x1b[0m"
# GitHub's runner takes a line for a command if it begins with `::` after any white space, or has `##[` anywhere
# (ActionCommand.TryParseV2 and TryParse in actions/runner). The agent of Azure Pipelines looks for `##vso[` (Command.TryParse in
# microsoft/azure-pipelines-agent), TeamCity for `##teamcity[`.
_ANYWHERE = r"#(?=#(?:vso|teamcity)?\[)"
_COMMAND = re.compile(rf"^([^\S\n]*):(?=:)|{_ANYWHERE}", re.MULTILINE)
# JSON escapes C0 itself. In JSON text these characters occur in strings only.
_UNSAFE_JSON = re.compile(f"[\x7f-\x9f{_BIDI}]")


def printable(text: str) -> str:
    """The text with control characters and changes of direction escaped; line feeds and tabs stay."""
    if text.isprintable():  # most is, and this is the quickest test
        return text
    return _UNSAFE.sub(_escaped, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`printable`, with line feeds escaped too."""
    return printable(text).replace("\n", "\\n")


def tool_output(line: str) -> str:
    """A line of a tool's output: its colours stay, links are removed, everything else is escaped.

    Colours end with the line, so that none of a tool's can hide the next message.
    """
    if line.isprintable():
        return line
    line = _TOOL_OUTPUT.sub(lambda match: match[1] or (_escaped(match) if match[2] else ""), line)
    return line if "\x1b" not in line or line.endswith(_RESET) else line + _RESET


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


# --- GitHub Actions --------------------------------------------------------------------------------------------------------


def without_commands(text: str) -> str:
    """The text without anything that a CI system would take for a command: its first character is escaped.

    `stop-commands` would switch off buildlib's own annotations too, which other threads print between the lines of a tool.
    """
    return _COMMAND.sub(lambda match: "\\x23" if match[1] is None else f"{match[1]}\\x3a", text)


def workflow_command(command: str, text: str) -> str:
    """A command for GitHub's runner in one line, such as `::error::text`."""
    return f"::{command}::{command_data(text)}"


def command_data(text: str) -> str:
    """The text after the second `::` of a command, encoded as actions/toolkit does in `escapeData`."""
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def command_property(text: str) -> str:
    """The value of a property of a command, encoded as actions/toolkit does in `escapeProperty`."""
    return command_data(text).replace(":", "%3A").replace(",", "%2C")


def markdown_row(cells: Iterable[str]) -> str:
    """A row of a Markdown table, for the summary page. A cell contains text: no tags, code, links or images."""
    escaped = (re.sub(r"[\\|<`\[]", r"\\\g<0>", cell) for cell in cells)
    return f"| {' | '.join(escaped)} |\n"


# --- JSON ------------------------------------------------------------------------------------------------------------------


def json_text(data: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """The data as JSON that is safe to print: the same data, with more characters escaped than JSON requires."""
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    text = _UNSAFE_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    text = re.sub(_ANYWHERE, r"\\u0023", text)
    # A byte of a file name that is not UTF-8 (a lone surrogate) becomes an escape of JSON.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
