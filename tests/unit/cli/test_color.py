"""--color: where it may be, what it does to a whole command, and what it leaves to cargo."""

import os
import subprocess
import sys

import pytest

from buildlib.cli.entry import without_color
from buildlib.core.errors import UsageError


@pytest.mark.parametrize(
    ("words", "choice", "rest"),
    [
        ([], "auto", []),
        (["--color", "always", "build"], "always", ["build"]),
        (["build", "--color=never", "-j", "2"], "never", ["build", "-j", "2"]),
        (["--color=always", "build", "--color", "auto"], "auto", ["build"]),
        (["test", "--", "--color", "always"], "auto", ["test", "--", "--color", "always"]),
        (["test", "--color", "never", "--", "--color=x"], "never", ["test", "--", "--color=x"]),
        (["build", "--colors"], "auto", ["build", "--colors"]),
    ],
)
def test_it_may_be_anywhere_before_the_words_of_cargo(words, choice, rest):
    assert without_color(words) == (choice, rest)


@pytest.mark.parametrize(
    ("words", "message", "help_"),
    [
        (["--color"], "option '--color' needs a value", "one of: auto always never"),
        (["--color="], "option '--color' needs a value", "one of: auto always never"),
        (["build", "--color", "--", "always"], "option '--color' needs a value", "one of: auto always never"),
        (["--color", "alwys"], "unknown value 'alwys' of --color", "did you mean 'always'?"),
    ],
)
def test_another_value_is_an_error(words, message, help_):
    with pytest.raises(UsageError) as caught:
        without_color(words)
    assert (caught.value.message, caught.value.help) == (message, help_)


PLAIN = "error: unknown command 'biuld'\n  help: did you mean 'build'?\n"
COLOURED = "\x1b[1;31merror: unknown command 'biuld'\x1b[0m\n  help: did you mean 'build'?\n"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("words", "env", "shown"),
    [
        (["biuld"], {}, PLAIN),
        (["--color", "always", "biuld"], {}, COLOURED),
        (["biuld", "--color=always"], {"NO_COLOR": "1"}, COLOURED),
        (["biuld"], {"FORCE_COLOR": "1"}, COLOURED),
        (["biuld"], {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, PLAIN),
        (["biuld", "--color", "never"], {"FORCE_COLOR": "1"}, PLAIN),
    ],
)
def test_the_colours_of_an_error(words, env, shown):
    names = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "GITHUB_ACTIONS")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    argv = (sys.executable, "-m", "buildlib", *words)
    done = subprocess.run(argv, env={**clean, **env}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", shown)
