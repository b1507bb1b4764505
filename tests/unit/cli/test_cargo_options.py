"""Cargo's options on our command line: what they become, and what is wrong before anything starts."""

import os
import sys

import pytest
from invoke.collection import Collection

from buildlib.cli import cargo_options
from buildlib.cli.app import Buildlib
from buildlib.cli.cargo_options import cargo_command
from buildlib.cli.collection import namespace
from buildlib.cli.entry import report_errors
from buildlib.core.request import NO_REQUEST, Request
from buildlib.process.console import Console

COMMANDS = ("build", "plan", "test", "bench", "image")


@pytest.fixture
def parse(monkeypatch):
    """Return (exit code, options) of a command line; the command does nothing but keep its options."""

    def parse(*words):
        seen = []

        def show(c, console, cargo):
            """A command."""
            seen.append(cargo)

        # Invoke hands out a command's help texts once, so each command line has a command of its own.
        collection = Collection(cargo_command(help={"profile": "cargo profile"})(show))
        monkeypatch.setattr(sys, "argv", ["buildlib", "show", *words])
        program = Buildlib(name="buildlib", binary="buildlib", version="0", namespace=collection)
        try:
            code = report_errors(Console({}), lambda: program.run(sys.argv), debug=False)
        except SystemExit as exited:
            code = exited.code
        return code, (seen or [None])[0]

    return parse


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ([], NO_REQUEST),
        (["-p", "a,b", "--package", "c"], Request(packages=("a", "b", "c"))),
        (["--all"], Request(workspace=True)),
        (["--workspace", "--exclude", "a"], Request(workspace=True, exclude=("a",))),
        (["--bin", "a", "--component", "b/c"], Request(components=("b/c", "a"))),
        (["--lib", "--example", "e", "--bins"], Request(library=True, examples=("e",), bins=True)),
        (["-r"], Request(profile="release")),
        (["--release", "--profile", "release"], Request(profile="release")),
        (["--profile", "dist"], Request(profile="dist")),
        (["-j2"], Request(jobs="2")),
        (["-j", "default"], Request(jobs=str(os.cpu_count()))),
        (["-j", "4", "-vv", "-q"], Request(jobs="4", verbose=2, quiet=True)),
        (["--all-features", "--no-default-features"], Request(all_features=True, no_default_features=True)),
        (["--offline", "--locked", "--frozen"], Request(offline=True, locked=True, frozen=True)),
        (["--", "--timings", "-Z", "x y"], Request(rest=("--timings", "-Z", "x y"))),
    ],
)
def test_options_become_a_request(parse, words, request_):
    code, options = parse(*words)
    settings = {"features": [], "libraries": [], "profile": request_.profile}
    assert (code, options.request, options.settings) == (0, request_, settings)


def test_features_and_targets(parse):
    words = ("--features", "a,b", "-F", "c d/e", "--library", "libssl-dev,libdbus-1-dev", "--library", "libudev-dev")
    _, options = parse(*words, "--target", "aarch64-unknown-linux-gnu", "--target", "armv7")
    assert options.libraries == ["libssl-dev", "libdbus-1-dev", "libudev-dev"]
    assert (options.features, options.targets) == (["a", "b", "c", "d/e"], ("aarch64-unknown-linux-gnu", "armv7"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--release", "--profile", "dev"],
            "error: --release and --profile dev exclude each other\n  help: leave one out\n",
        ),
        (["-j", "many"], "error: --jobs expects a number, got 'many'\n"),
        (["--packge", "a"], "error: unknown option '--packge'\n  help: did you mean '--package'?\n"),
        (["--exlude", "a"], "error: unknown option '--exlude'\n  help: did you mean '--exclude'?\n"),
        (["--package"], "error: option '--package' needs a value\n  help: see buildlib show --help\n"),
    ],
)
def test_wrong_options_are_exit_code_2(parse, capsys, words, message):
    assert parse(*words)[0] == 2
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_compiles_has_them(name):
    options = {flag for argument in namespace[name].get_arguments(ignore_unknown_help=True) for flag in argument.names}
    declared = (*cargo_options.LISTS, *cargo_options.SWITCHES, *cargo_options.TEXTS, "verbose")
    assert {name.replace("_", "-") for name in declared} <= options
    assert {"p", "j", "v", "q", "r"} <= options
