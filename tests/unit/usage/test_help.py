"""The pages of help: what they show, how wide they are, and that none of Invoke's options is among them."""

import re
import subprocess
import sys

import pytest

from buildlib.cli import command_list
from buildlib.cli.app import Buildlib, with_paths
from buildlib.cli.collection import namespace
from buildlib.cli.entry import report_errors
from buildlib.process.console import Console
from buildlib.usage.help_pages import COMMANDS, EXAMPLES, command_page, program_page
from buildlib.usage.option_table import ROWS, option

NAMES = tuple(command_list.names())
LINT_AT_60 = """\
Portability problems in Dockerfiles, workflows, Cross.toml
and cargo's configuration.

Usage: buildlib lint [OPTIONS] [PATH]…

Arguments:
  [PATH]…  a file or directory; default: the current
           directory

Options:
      --rule RULE      only this rule, by name or number;
                       may be repeated
      --format FORMAT  text, json, sarif or github; default:
                       github in GitHub Actions, else text
      --fix            apply the mechanical fixes
      --strict         fail for findings of severity info
                       too
      --json           print the result as JSON on stdout

Global options:
      --color WHEN  colours in messages and tables; default:
                    auto [env: NO_COLOR, FORCE_COLOR]
      --dry-run     show what would run, and change nothing
      --debug       show the traceback of an unexpected
                    error
  -h, --help        show this page

Examples:
  # this directory
  buildlib lint
  # fix what can be fixed in one file
  buildlib lint Dockerfile --fix
"""
BUILD_AT_80 = """\
Compilation:
      --arch ARCH[,ARCH…]    amd64, arm64, armv7, …; all, native; may be
                             repeated or hold commas; default: native
      --library PACKAGE[,…]  Debian packages of system libraries for the
                             targets, downloaded without root [env:
                             BUILDLIB_LIBRARIES]
      --target TRIPLE        a Rust triple; the same as --arch
      --backend BACKEND      toolchain that compiles and links; default: auto
                             [env: BUILDLIB_BACKEND]
"""


def run(*words):
    program = Buildlib(name="buildlib", binary="buildlib", version="0.1.0", namespace=namespace)
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(report_errors(Console({}), lambda: program.run(["buildlib", *words]), debug=False))
    return caught.value.code


@pytest.mark.parametrize("words", [("lint", "--help"), ("lint", "-h"), ("--help", "lint"), ("help", "lint")])
def test_the_page_of_a_command(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert run(*words) == 0
    assert capsys.readouterr() == (LINT_AT_60, "")


def test_settings_have_their_default_and_variable(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert run("build", "-h") == 0
    assert BUILD_AT_80 in capsys.readouterr().out


def test_the_page_of_the_program_has_every_command_once_and_no_option_of_invoke(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert sorted(NAMES) == sorted(name for names in COMMANDS.values() for name in names)
    for words in (("--help",), ("-h",), ("help",), ()):
        assert run(*words) == 0
        page = capsys.readouterr().out
        sections = dict(section.split(":\n", 1) for section in page.split("\n\n") if ":\n" in section)
        assert {title: tuple(re.findall(r"^  (\S+)", sections[title], re.MULTILINE)) for title in COMMANDS} == COMMANDS
        assert re.findall(r"^  .{4}(--\S+)", sections["Options"], re.MULTILINE) == [
            "--color", "--dry-run", "--debug", "--help", "--list", "--version",
        ]  # fmt: skip
        for word in ("--hide", "--prompt-for-sudo-password", "--write-pyc", "--pty", "--config", " -c", "--complete"):
            assert word not in page


@pytest.mark.parametrize("words", [("-V",), ("--version",), ("build", "-V")])
def test_the_version(words, capsys):
    assert run(*words) == 0
    assert capsys.readouterr() == ("buildlib 0.1.0\n", "")


@pytest.mark.parametrize("columns", [10, 60, 80, 300])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_cut(columns):
    commands = command_list.describe_all()
    pages = [program_page(commands, "0.1.0", columns), *(command_page(command, columns) for command in commands)]
    words = {word for command in commands for one in command.options for word in one.help.split()}
    assert words <= {word for page in pages for word in page.split()}
    if columns >= 60:
        texts = [line for page in pages for line in page.splitlines() if not line.startswith("  buildlib ")]
        assert [line for line in texts if len(line) > min(columns, 100)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_row_a_help_text_and_a_value_where_it_takes_one(name):
    for argument in namespace[name].get_arguments(ignore_unknown_help=True):
        described = option(name, argument)
        assert described.help
        assert described.takes_value == (argument.takes_value and not argument.incrementable), described
    assert len(EXAMPLES[name]) == 2


def test_no_row_is_left_over():
    used = {name for command in NAMES for argument in namespace[command].get_arguments(ignore_unknown_help=True)
            for name in (argument.names[0], f"{command}.{argument.names[0]}")}  # fmt: skip
    assert ROWS.keys() - used == {"color", "dry"}


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_command_lines_that_the_parser_accepts(name):
    import shlex

    from invoke.parser import Parser

    for _, words in EXAMPLES[name]:
        before = shlex.split(words.partition(" > ")[0].partition(" < ")[0])
        before = before[: before.index("--")] if "--" in before else before
        # Global options and positional words are `app`'s.
        argv = [word for word in before if word != "--dry-run"]
        argv = with_paths(["buildlib", *argv])[1:]
        assert Parser(contexts=namespace.to_contexts()).parse_argv(argv)[0].name


@pytest.mark.processes
def test_invoke_has_its_own_help():
    done = subprocess.run([sys.executable, "-m", "invoke", "--help"], capture_output=True, text=True, check=True)
    assert "--prompt-for-sudo-password" in done.stdout and "--color" not in done.stdout
