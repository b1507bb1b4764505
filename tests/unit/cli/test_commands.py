"""The command line: options, exit codes, and messages."""

import io
import json
import signal
import subprocess
import sys
import time

import pytest
from machines import Machine

from buildlib.cli.app import Buildlib, in_our_words, with_paths
from buildlib.cli.collection import namespace
from buildlib.cli.commands import build as build_command
from buildlib.cli.commands import explain
from buildlib.cli.entry import report_errors
from buildlib.core import settings
from buildlib.core.errors import BuildError
from buildlib.core.settings import declared
from buildlib.process import output_reader
from buildlib.process.console import Console


def run(*words):
    program = Buildlib(name="buildlib", binary="buildlib", version="0", namespace=namespace)
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(report_errors(Console({}), lambda: program.run(["buildlib", *words]), debug=False))
    return caught.value.code


def test_invoke_and_the_console_script_have_the_same_commands():
    import tasks

    assert tasks.namespace is namespace
    assert sorted(namespace.task_names) == [
        "bench", "build", "builder.create", "builder.inspect", "builder.remove", "ci", "clean", "completion", "config", "dockerfile",
        "doctor", "explain", "image", "lint", "merge", "plan", "report", "reproduce", "setup", "sign", "smoke", "test", "verify",
    ]  # fmt: skip


def test_words_after_verify_are_paths():
    assert with_paths(["buildlib", "verify", "a", "--json", "b"]) == [
        "buildlib", "verify", "--path", "a", "--json", "--path", "b",
    ]  # fmt: skip
    assert with_paths(["buildlib", "verify", "--glibc", "2.28", "x"])[2:] == ["--glibc", "2.28", "--path", "x"]
    assert with_paths(["buildlib", "explain", "a", "-", "--json"])[2:] == ["--file", "a", "--file", "-", "--json"]
    words = ["buildlib", "lint", "--rule", "BL001", "a", "--format=json", "--strict", "b"]
    assert with_paths(words)[2:] == ["--rule", "BL001", "--path", "a", "--format=json", "--strict", "--path", "b"]
    assert with_paths(["buildlib", "completion", "--values", "package"])[2:] == ["--values", "package"]
    assert with_paths(["buildlib", "completion", "bash"])[2:] == ["--shell", "bash"]
    assert with_paths(["buildlib", "build", "verify"]) == ["buildlib", "build", "verify"]
    assert with_paths(["buildlib"]) == ["buildlib"]


def test_words_of_other_tools_are_known():
    assert in_our_words(["buildlib", "help", "build"]) == ["buildlib", "build", "--help"]
    assert in_our_words(["buildlib", "help", "build", "lint"]) == ["buildlib", "build", "--help"]
    assert in_our_words(["buildlib", "help", "help"]) == ["buildlib", "--help"]
    assert in_our_words(["buildlib", "help"]) == ["buildlib", "--help"]
    assert in_our_words(["buildlib", "build", "--dry-run", "help"]) == ["buildlib", "build", "--dry", "help"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["biuld"], "error: unknown command 'biuld'\n  help: did you mean 'build'?\n"),
        (["build", "--arhc", "arm64"], "error: unknown option '--arhc'\n  help: did you mean '--arch'?\n"),
        (["build", "--zzzz"], "error: unknown option '--zzzz'\n  help: see buildlib build --help\n"),
        (
            ["test", "--doc"],
            "error: unknown option '--doc'\n  help: it is an option of cargo: buildlib test -- --doc\n",
        ),
        (["lint", "--doc"], "error: unknown option '--doc'\n  help: see buildlib lint --help\n"),
        (["--help=biuld"], "error: unknown command 'biuld'\n  help: did you mean 'build'?\n"),
        (["build", "--target-dir"], "error: option '--target-dir' needs a value\n  help: see buildlib build --help\n"),
        (["build", "--json", "--arch"], "error: option '--arch' needs a value\n  help: see buildlib build --help\n"),
        (["-T", "x", "build"], "error: expected a number, got 'x'\n  help: see buildlib --help\n"),
        (["--list=nope"], "error: unknown group of commands 'nope'\n  help: one of: builder\n"),
        (["build", "--json=x"], "error: option '--json' takes no value\n  help: see buildlib build --help\n"),
        (["build", "-p"], "error: option '-p' needs a value\n  help: see buildlib build --help\n"),
        (["build", "--arch", "--json"], "error: option '--arch' needs a value\n  help: see buildlib build --help\n"),
        (["ci", "--for"], "error: option '--for' needs a value\n  help: see buildlib ci --help\n"),
        (["build", "x"], "error: build: unexpected argument 'x'\n  help: see buildlib build --help\n"),
        (["build", "lnt"], "error: unknown command 'lnt'\n  help: did you mean 'lint'?\n"),
        (["--help", "x"], "error: unknown command 'x'\n  help: see buildlib --help\n"),
        (["--hide"], "error: option '--hide' needs a value\n  help: see buildlib --help\n"),
        (["build", "--color"], "error: option '--color' needs a value\n  help: one of: auto always never\n"),
        (["--color=nevr", "build"], "error: unknown value 'nevr' of --color\n  help: did you mean 'never'?\n"),
        (["-F", "jsn", "-l"], "error: unknown list format 'jsn'\n  help: did you mean 'json'?\n"),
    ],
)
def test_a_wrong_word_is_exit_code_2_and_one_message(words, message, capsys):
    assert run(*words) == 2
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "!x", "could not determine a constructor for the tag '!x' in \"a.yaml\", line 1, column 1"),
        ("a.json", "{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("a.py", "1 / 0", "division by zero"),
        ("a.txt", "a", "expected a file .yaml, .json or .py"),
    ],
)  # fmt: skip
def test_a_configuration_that_invoke_cannot_read_is_named(name, text, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    help_ = "  help: it is a file of Invoke's; cargo's own --config goes behind --\n"
    assert run("-f", name, "config") == 2
    assert capsys.readouterr().err == f"error: --config {name}: {message}\n{help_}"


@pytest.mark.processes
def test_help_names_the_variable_of_each_setting_that_a_flag_sets():
    # In a process of its own: Invoke hands out a command's help texts once.
    shown = subprocess.run(
        [sys.executable, "-m", "buildlib", "build", "--help"], capture_output=True, text=True, check=True
    )
    text = "".join(shown.stdout.split())
    for key in ("profile", "backend", "glibc", "features", "target_dir", "dist"):
        assert "".join(declared()[key].description.split()) in text
        assert f"[env:{declared()[key].variable}]" in text


def test_outside_a_workspace_every_command_reports_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in ("build", "test", "bench"):
        assert run(command) == 2
        assert f"error: no Cargo.toml in {tmp_path} or above it" in capsys.readouterr().err
    for command in ("plan", "config", "doctor", "smoke", "ci"):
        assert run(command) == 2
        assert f"error: neither Cargo.toml nor buildlib.toml in {tmp_path} or above it" in capsys.readouterr().err


ONE_OUTPUT = "choose one of --push, --load, --output DIR and --check-bases"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--push", "--load"), ONE_OUTPUT),
        (("--push", "--output", "x"), ONE_OUTPUT),
        (("--push", "--network", "none"), "unknown network 'none' (expected host)"),
        (("--push", "--network", "host"), "--network and --cache need --in-docker"),
        (("--push", "--cache", "registry"), "--network and --cache need --in-docker"),
    ],
)
def test_an_image_has_one_output(words, message, capsys):
    assert run("image", *words) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"error: {message}"


def test_verify_needs_no_workspace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: Machine(cwd=cwd))
    (tmp_path / "script").write_text("#!/bin/sh")
    assert run("verify", "script") == 6
    assert capsys.readouterr().out == "✗ script · unknown\n    not an ELF file\n"
    assert run("verify", "absent") == 2
    assert capsys.readouterr().err == "error: absent: no such file or directory\n"


def raising(error):
    def open_workspace(*_, **__):
        raise error

    return open_workspace


def test_ctrl_c_is_130_and_sigterm_143(monkeypatch, capsys):
    from buildlib.cli.entry import Terminated

    for error, code, word in ((KeyboardInterrupt(), 130, "interrupted"), (Terminated(), 143, "terminated")):
        monkeypatch.setattr(build_command, "open_workspace", raising(error))
        assert run("build") == code
        assert capsys.readouterr().err == f"error: {word}\n"


def test_a_terminal_that_goes_ends_a_command_unless_nohup_ignores_it(monkeypatch, capsys):
    monkeypatch.setattr(build_command, "open_workspace", lambda *_, **__: signal.raise_signal(signal.SIGHUP))
    before = signal.getsignal(signal.SIGHUP), signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert (run("build"), capsys.readouterr().err) == (143, "error: terminated\n")
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert run("build") != 143
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_an_unexpected_error_is_one_line_and_exit_code_70(monkeypatch, capsys):
    monkeypatch.setattr(build_command, "open_workspace", raising(KeyError("a\nb [/b] 'c'")))
    assert run("build") == 70
    message = capsys.readouterr().err
    assert message.splitlines() == [
        """error: internal error: KeyError: "a\\nb [/b] 'c'\"""",
        "  help: run again with --debug for the traceback",
    ]


def test_what_the_system_refuses_is_named_with_the_file(monkeypatch, capsys):
    monkeypatch.setattr(
        build_command, "open_workspace", raising(PermissionError(13, "Permission denied", "/x/Cargo.toml"))
    )
    assert run("build") == 1
    assert capsys.readouterr().err.splitlines()[0] == "error: /x/Cargo.toml: Permission denied"


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setattr(build_command, "open_workspace", raising(KeyError("x")))
    monkeypatch.setattr("sys.argv", ["buildlib", "build", "--debug"])
    program = Buildlib(name="buildlib", binary="buildlib", version="0", namespace=namespace)
    with pytest.raises(KeyError):
        program.run(["buildlib", "build", "--debug"])


def test_an_error_of_ours_has_its_own_exit_code(monkeypatch, capsys):
    for kind in BuildError.__subclasses__():
        monkeypatch.setattr(build_command, "open_workspace", raising(kind("what", "fix")))
        assert run("build") == kind.code
        assert capsys.readouterr().err == "error: what\n  help: fix\n"


LOG = "building\ncurl: (52) Empty reply from server\nhttps://a:b@c\n"


def test_a_log_is_explained(tmp_path, capsys):
    for name, text in (("a.log", LOG), ("b.log", "all is well\n")):
        (tmp_path / name).write_text(text)
    words = ("explain", str(tmp_path / "a.log"), str(tmp_path / "b.log"))
    assert run(*words, "--json") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "file": f"{tmp_path}/a.log", "class": "transient-network", "retry": True, "line": 2,
        "cause": "curl: (52) Empty reply from server",
        "help": first["help"], "wait": None, "ok": True, "exit_code": 0, "errors": [],
    }  # fmt: skip
    assert (second["class"], second["retry"], second["line"]) == ("unknown", False, 1)
    assert run(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path}/a.log:2: transient-network: a retry helps"
    assert lines[1] == "  cause: curl: (52) Empty reply from server"


def test_one_long_line_takes_no_longer_than_a_long_log(tmp_path, capsys):
    """Each of a thousand phrases was searched in all of it: this one took 8 s."""
    length, seconds = 20_000_000, {}
    texts = {"lines": f"{'x' * 99}\n" * (length // 100), "line": "x" * length}
    for name, text in texts.items():
        (tmp_path / name).write_text(f"{text} connection refused\nerror: it ended\n")
        began = time.process_time()
        assert not run("explain", str(tmp_path / name))
        seconds[name] = time.process_time() - began
    assert seconds["line"] < 5 * seconds["lines"], seconds
    assert f"{tmp_path / 'line'}:1: transient-network" in capsys.readouterr().out


def test_a_log_from_a_pipe_is_explained(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe no\ntoomanyrequests: try again in 5m")))
    assert run("explain", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["class"], result["wait"], result["line"]) == ("rate-limited", 300.0, 2)


def test_a_missing_log_is_reported(capsys, tmp_path):
    assert run("explain", str(tmp_path / "none.log")) == 2
    assert "none.log: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["x", "-1", "1%", ""])
def test_a_limit_is_a_percentage(limit, capsys):
    assert run("bench", f"--limit={limit}") == 2
    assert capsys.readouterr().err.splitlines()[0] == "error: --limit expects a percentage, for example 1"


def test_of_a_log_with_too_many_lines_the_middle_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(explain, "MAX_LINES", 4)
    monkeypatch.setattr(output_reader, "MAX_KEPT", 5)
    file = tmp_path / "log"
    for lines in ("abcdef", "abcde", "abcd", "abc"):
        file.write_text("\n".join(lines))
        assert explain._log(str(file)).split("\n") == [*lines[:2], *[""] * (len(lines) - 4), *lines[2:][-2:]]


def test_the_options_of_the_named_commands_alone_are_made(monkeypatch):
    """Invoke makes and copies those of all commands; and a help text is read where it is shown."""
    asked = []
    monkeypatch.setattr(settings, "help_text", asked.append)
    program = Buildlib(name="buildlib", binary="buildlib", version="0", namespace=namespace)
    program.create_config()
    program.parse_core(["buildlib", "plan", "--arch", "arm64", "--json"])
    program.parse_collection()
    program.parse_tasks()
    assert (list(program.parser.contexts), asked) == (["plan"], [])
    (plan,) = program.tasks
    assert (plan.args["arch"].value, plan.args["json"].value) == (["arm64"], True)
