"""Colours: who decides, and that they change nothing but the looks."""

import io
import re

import pytest

from buildlib.core.errors import BuildError
from buildlib.display.terminal import coloured, wanted_colours, without_colours
from buildlib.process.console import Console

SGR = re.compile(r"\x1b\[[0-9;:]*m")
TEXT = "a\tb ✓ [bold] https://x.test/y 1.0 漢"


@pytest.mark.parametrize(
    ("choice", "env", "wanted"),
    [
        ("auto", {}, None),
        ("auto", {"NO_COLOR": ""}, None),
        ("auto", {"NO_COLOR": "0"}, False),
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("auto", {"FORCE_COLOR": ""}, None),
        ("auto", {"FORCE_COLOR": "0"}, False),
        ("auto", {"CLICOLOR_FORCE": "1"}, True),
        ("auto", {"CLICOLOR_FORCE": "0"}, None),
        ("auto", {"CLICOLOR": "0"}, False),
        ("auto", {"CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, True),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False),
    ],
)
def test_the_option_comes_first_then_no_color_then_the_others(choice, env, wanted):
    assert wanted_colours(choice, env) is wanted


def test_each_line_has_its_own_colours():
    assert coloured("a\nb", "bold red") == "\x1b[1;31ma\x1b[0m\n\x1b[1;31mb\x1b[0m"
    assert coloured("a", "") == "a"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def printed(monkeypatch, kind, env, color):
    """What a command prints: (stderr, stdout)."""
    out, err = kind(), kind()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setenv("COLUMNS", "60")  # of the terminal, for rich
    console = Console(env, color=color)
    with console.fold("title"):
        console.command(("a", "b c"))
        console.output(f"{TEXT} \x1b[31mred\x1b[0m")
        console.note(TEXT)
        console.warn(TEXT)
        console.done(1.0, TEXT)
    console.error(BuildError(TEXT, "help"))
    console.table(("arch", TEXT), [("arm64", "x" * 64), ("a", TEXT)])
    console.line(TEXT)
    return err.getvalue(), out.getvalue()


@pytest.mark.parametrize(
    "env", [{"TERM": "xterm-256color"}, {"TERM": "dumb"}, {"CI": "1"}, {"GITHUB_ACTIONS": "true"}], ids=str
)
@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_colours_change_nothing_but_the_looks(monkeypatch, kind, env):
    plain = printed(monkeypatch, kind, env, "never")
    assert SGR.search("".join(plain)) is None
    for color, more in (("always", {}), ("auto", {"FORCE_COLOR": "1"}), ("auto", {"CLICOLOR_FORCE": "1"})):
        with_colours = printed(monkeypatch, kind, {**env, **more}, color)
        assert all(SGR.search(text) for text in with_colours)
        assert tuple(map(without_colours, with_colours)) == plain
    assert printed(monkeypatch, kind, {**env, "NO_COLOR": "1"}, "auto") == plain
    automatic = printed(monkeypatch, kind, env, "auto")
    assert tuple(map(without_colours, automatic)) == plain
    assert bool(SGR.search(automatic[1])) == (kind is Terminal and env == {"TERM": "xterm-256color"})
