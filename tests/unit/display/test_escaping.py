"""Whatever a tool, a file name or a log contains: no terminal and no runner of GitHub's acts on it."""

import io
import json
import re
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buildlib.core.errors import BuildError
from buildlib.display.escaping import json_text, one_line, printable, tool_output, without_commands
from buildlib.display.progress import Progress
from buildlib.process.console import Console

GITHUB = {"GITHUB_ACTIONS": "true", "CI": "true"}
TERMINAL = {"TERM": "xterm-256color"}
# What a terminal acts on, each with what is shown instead.
SEQUENCES = {
    "\x1b[2J\x1b[H": "\\x1b[2J\\x1b[H",  # clear the screen
    "\x1b]52;c;cm0gLXJm\x07": "\\x1b]52;c;cm0gLXJm\\x07",  # write to the clipboard
    "\x1b]0;title\x1b\\": "\\x1b]0;title\\x1b\\",  # set the title
    "\x9b31m": "\\x9b31m",  # C1's CSI
    "\x9d52;c;eA==\x9c": "\\x9d52;c;eA==\\x9c",  # C1's OSC
    "\x1bP+q544e\x1b\\": "\\x1bP+q544e\\x1b\\",  # DCS: asks for an answer, which is typed into the shell
    "\x1b[6n": "\\x1b[6n",  # so does this
    "a\x08b\x7f": "a\\x08b\\x7f",
    "\x07\x00\x0b\x0c\x0e": "\\x07\\x00\\x0b\\x0c\\x0e",
    "admin\u202e\u2066// txt.exe\u2069": "admin\\u202e\\u2066// txt.exe\\u2069",  # Trojan Source
    "\x85": "\\x85",
}
OTHER_TEXT = ("äöü ✓ 漢字 🦀", "a\tb", "שלום عربى", "\u200f\u200e", "C:\\x1b\\u202e", "a\u00a0b", "[bold]", "")


@pytest.mark.parametrize(("text", "shown"), SEQUENCES.items(), ids=map(ascii, SEQUENCES))
def test_what_a_terminal_acts_on_is_escaped(text, shown):
    assert (printable(text), one_line(text), tool_output(text)) == (shown, shown, shown)


@pytest.mark.parametrize("text", OTHER_TEXT, ids=ascii)
def test_other_text_stays(text):
    assert (printable(text), one_line(text), tool_output(text), without_commands(text)) == (text,) * 4


def test_line_feeds_stay_or_are_escaped():
    assert printable("a\r\nb\n\rc") == "a\nb\n\\x0dc"
    assert one_line("a\nb") == "a\\nb"


def test_colours_are_escaped_except_in_the_output_of_tools():
    text = "\x1b[1m\x1b[38;5;9merror\x1b[0m: x"
    assert printable(text) == text.replace("\x1b", "\\x1b")
    assert tool_output(text) == f"{text}\x1b[0m"
    assert tool_output("\x1b[8mhidden") == "\x1b[8mhidden\x1b[0m"  # the next line is not hidden
    assert tool_output("\x1b[31mred\x1b[0m") == "\x1b[31mred\x1b[0m"


def test_links_and_erasing_to_the_end_of_the_line_are_removed_from_the_output_of_tools():
    # As cargo 1.95 and gcc write them.
    assert (
        tool_output("\x1b]8;;https://doc.rust-lang.org/x\x1b\\`dev` profile\x1b]8;;\x1b\\ target(s)")
        == "`dev` profile target(s)"
    )
    assert tool_output("\x1b]8;;https://x\x07a\x1b]8;;\x07") == "a"
    assert tool_output("\x1b[01;31m\x1b[Kerror:\x1b[m\x1b[K x") == "\x1b[01;31merror:\x1b[m x\x1b[0m"
    # Without its end it is no link, and would take in all that follows.
    assert tool_output("\x1b]8;;https://x a") == "\\x1b]8;;https://x a"


SGR = re.compile(r"\x1b\[[0-9;:]*m")
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
PIECES = st.sampled_from(
    [*SEQUENCES, *OTHER_TEXT, "\x1b[31m", "\x1b", "[", "]8;;", "m", "0", "\r", "\n", "::error::", "##[error]"]
)
ANY_TEXT = st.text() | st.lists(PIECES).map("".join)


@given(ANY_TEXT)
def test_nothing_unsafe_is_left_of_any_text(text):
    assert not UNSAFE.search(printable(text)) and not UNSAFE.search(SGR.sub("", tool_output(text)))
    assert "\n" not in one_line(text)


@given(st.lists(PIECES) | st.dictionaries(st.text(), st.text()) | ANY_TEXT)
@example(["\x7f\x9b\u202e\\\x7f##[error]"])
def test_json_is_the_same_data(data):
    text = json_text(data)
    assert json.loads(text) == data and not UNSAFE.search(text) and "##[" not in text


@pytest.mark.parametrize(
    "unit", ["\x1b", "\x1b]8;;", "\x1b[", "\x1b[1", " ", "\n", ":", "#", "##[", "\x1b[0m"], ids=ascii
)
def test_the_time_grows_with_the_length_of_the_text(unit, assert_linear):
    """Not with its square, in which it would be minutes."""
    assert_linear(lambda text: without_commands(tool_output(text) + printable(text)), unit)


# --- GitHub's runner -------------------------------------------------------------------------------------------------------

COMMANDS = {
    "error",
    "warning",
    "notice",
    "group",
    "endgroup",
    "debug",
    "add-mask",
    "add-matcher",
    "set-output",
    "stop-commands",
}


def command_of(line):
    """The command and its data that the runner reads from a line, as src/Runner.Common/ActionCommand.cs does."""
    trimmed = line.lstrip()
    if trimmed.startswith("::") and "::" in trimmed[2:]:
        head, _, data = trimmed[2:].partition("::")
        if head.partition(" ")[0].lower() in COMMANDS:
            return head, data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    if "##[" in line and "]" in (rest := line.partition("##[")[2]):
        head, _, data = rest.partition("]")
        if head.partition(" ")[0].lower() in COMMANDS:
            return head, data
    return None


def commands(text):
    """All commands in an output; .NET ends a line at each of these."""
    return [found for line in re.split(r"\r\n|\r|\n", text) if (found := command_of(line))]


INJECTIONS = (
    "::error::x", " \t::warning file=a::x", "\u00a0::add-mask::e", "x\n::set-output name=a::b", "x\r::group::y", "a ##[error]b",
    "###[warning]x", "::stop-commands::t", "\x1c::error::x", "x\n \n::ERROR::y", "##[add-matcher]/tmp/x.json",
)  # fmt: skip


@pytest.mark.parametrize("text", INJECTIONS, ids=ascii)
def test_the_runner_would_take_these_for_commands(text):
    assert commands(text)


def print_everything(console, text):
    with console.fold(text), console.working(Progress(title=text, started=0.0)) as tick:
        tick()
        console.command((text,))
        console.output(text)
        console.note(text)
        console.warn(text)
        console.done(1.0, text)
    console.error(BuildError(text, text))
    console.line(text)
    console.failure(text)
    console.table((text,), [(text,)])
    console.json({text: [text]})
    console.json([text], indent=None)


@pytest.mark.parametrize("words", range(1, 260))
def test_no_part_of_a_cell_begins_a_line_of_a_table(capsys, words):
    text = "x " * words
    Console(GITHUB).table(("a", "b"), [(f"{text}::error::y", f"{text}{'漢' * 300}::error::y"), ("1", "2")])
    out = capsys.readouterr().out
    assert commands(out) == [] and len(out.splitlines()) == 3


def escaped(text):
    """The data of a command: nothing that a terminal acts on, except ends of lines, which are encoded."""
    return UNSAFE.sub(lambda match: match[0] if match[0] == "\r" else printable(match[0]), text)


@pytest.mark.parametrize("text", [*INJECTIONS, *SEQUENCES, *OTHER_TEXT], ids=ascii)
def test_the_runner_gets_only_the_commands_of_the_console(capsys, text):
    print_everything(Console(GITHUB), text)
    printed = capsys.readouterr()
    data = escaped(text)
    assert commands(printed.err) == [
        ("group", data), ("warning", data), ("endgroup", ""), ("error", data), ("error", data),
    ]  # fmt: skip
    assert commands(printed.out) == []


@given(ANY_TEXT, st.sampled_from([{}, GITHUB, TERMINAL]))
def test_no_console_prints_what_a_terminal_acts_on(text, env):
    class Stream(io.StringIO):
        def isatty(self):
            return env is TERMINAL

    with pytest.MonkeyPatch.context() as patch:
        out, err = Stream(), Stream()
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        print_everything(Console(env), text)
    printed = out.getvalue() + err.getvalue()
    # rich's own status line moves the cursor.
    own = re.compile(r"\x1b\[(?:[0-9;]*[mABCDGJK]|\?25[lh])|\r") if env is TERMINAL else SGR
    assert not UNSAFE.search(own.sub("", printed))


def test_carriage_returns_end_a_line_of_a_tools_output(capsys):
    console = Console(GITHUB)
    console.output("Receiving objects:  50%\rReceiving objects: 100%\r")
    console.output("a\r\r::error::x\r")
    console.output("")
    assert capsys.readouterr().err.splitlines() == [
        "Receiving objects:  50%", "Receiving objects: 100%", "a", "\\x3a:error::x", "",
    ]  # fmt: skip
