import errno
import io
import json
import os
import re
import subprocess
import sys
import time

import pytest

from buildlib.core.errors import BuildError, UsageError
from buildlib.display.progress import Progress
from buildlib.process.console import Console

GITHUB = {"GITHUB_ACTIONS": "true", "CI": "true"}
# What rich's markup would swallow, change, or fail on.
MARKUP = ("[/b]", "[/var/lib/x]", "[optimized]", "[registry]", "[bold red]x[/]", "\\[x]", ":boom:")


def test_lines_are_plain_without_a_terminal(capsys):
    console = Console({})
    with console.fold("arm64"), console.working(Progress(title="compile", started=0.0)) as tick:
        console.command(("cargo", "build", "--config", "a b"))
        console.output("   Compiling x v1.0.0")
        tick()
        console.output("[bold] is not markup, \x1b[31mand colours are the tool's\x1b[0m")
    console.done(1.25, "2 crates compiled")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[:3] == ["▸ arm64", "  + cargo build --config 'a b'", "   Compiling x v1.0.0"]
    assert printed.err.splitlines()[-1] == "  ✓ 1.2s · 2 crates compiled"


def test_github_gets_folds_and_annotations(capsys):
    console = Console(GITHUB)
    with console.fold("arm64"):
        console.warn("no QEMU")
    console.error(UsageError("two\nlines", "fix it"))
    assert capsys.readouterr().err.splitlines() == [
        "::group::arm64",
        "::warning::no QEMU",
        "::endgroup::",
        "::error::two%0Alines",
        "  help: fix it",
    ]


@pytest.mark.parametrize("env", [{"TF_BUILD": "True"}, {"TEAMCITY_VERSION": "2026.1"}, GITHUB])
def test_no_text_is_a_command_of_a_ci_system(capsys, env):
    console = Console(env)
    for text in ("a ##vso[task.setvariable variable=PATH]x", "##teamcity[buildStop]", "##[error]x", "##vso"):
        console.output(text)
        console.line(text)
        console.table((text,), [])
        console.json([text])
    printed = capsys.readouterr()
    assert re.findall(r"##\w*\[", printed.out + printed.err) == []
    assert printed.err.splitlines() == [
        "a \\x23#vso[task.setvariable variable=PATH]x", "\\x23#teamcity[buildStop]", "\\x23#[error]x", "##vso",
    ]  # fmt: skip


def test_every_workflow_command_is_encoded(capsys):
    """A line break would end the command: what follows it could be a command of its own."""
    console, text, encoded = Console(GITHUB), "100 %\r\n::error::x", "100 %25%0D%0A::error::x"
    with console.fold(text):
        console.warn(text)
    console.error(BuildError(text))
    console.failure("50 %\nx")
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"::group::{encoded}", f"::warning::{encoded}", "::endgroup::", f"::error::{encoded}", "::error::50 %25%0Ax",
    ]  # fmt: skip
    assert printed.out == "✗ 50 %\nx\n"


@pytest.mark.parametrize("env", [{}, GITHUB], ids=["plain", "github"])
@pytest.mark.parametrize("text", MARKUP)
def test_markup_is_printed_literally(capsys, env, text):
    console = Console(env)
    with console.fold(text):
        console.command((text,))
        console.output(text)
        console.note(text)
        console.warn(text)
        console.done(1.0, text)
    console.error(BuildError(text, text))
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count(text) == 8

    console.table((text[0], text), [("", text), ("a", text)])
    console.line(text)
    console.failure(text)
    console.json([text])
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == [f"{text[0]}  {text}", f"   {text}", f"a  {text}"]
    assert out[3:5] == [text, f"✗ {text}"]
    assert json.loads("\n".join(out[5:])) == [text]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def opened(monkeypatch):
    """A terminal at stderr and stdout."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "60")
    return stream


@pytest.mark.parametrize("text", MARKUP)
def test_markup_is_literal_on_a_terminal_too(monkeypatch, text):
    terminal = opened(monkeypatch)
    console = Console({"TERM": "xterm-256color"})
    assert console.interactive and console.colour
    with console.working(Progress(title=text, started=time.monotonic(), current=f"Compiling {text}")) as tick:
        tick()
        console.output(f"out {text}")
    assert terminal.getvalue() == f"{text} · Compiling {text} · 0:00\r\x1b[Jout {text}\n"


def test_on_a_terminal_a_step_without_news_is_one_line(monkeypatch):
    terminal = opened(monkeypatch)
    console = Console({"TERM": "xterm", "NO_COLOR": "1"})
    with console.fold("arm64 · zig"):
        console.done(1.25, "2 crates compiled", title="arm64 · compile")
    with console.fold("amd64 · zig"), console.fold("inner"):
        console.warn("unused")
        console.output("more")
        console.done(3.0, title="amd64 · compile", code=101)
    with console.fold("armv7 · zig"):
        console.done(1.0, title="armv7 · compile")
    assert terminal.getvalue().splitlines() == [
        "✓ arm64 · compile · 2 crates compiled · 1.2s",
        "▸ amd64 · zig", "▸ inner", "warning: unused", "more",
        "✗ amd64 · compile · exit code 101 · 3.0s",
        "✓ armv7 · compile · 1.0s",
    ]  # fmt: skip


def test_verbose_shows_on_a_terminal_what_a_pipe_gets(capsys, monkeypatch):
    terminal = opened(monkeypatch)

    def everything(env):
        console = Console({"NO_COLOR": "1", **env})
        console.verbose = True
        with console.fold("arm64"):
            console.command(("cargo", "build"))
            console.output("   Compiling x")
            console.done(1.0, "1 crate compiled", title="arm64 · compile")

    everything({"TERM": "xterm"})
    shown = terminal.getvalue()
    terminal.truncate(0)
    terminal.seek(0)
    everything({"CI": "1"})
    assert shown == terminal.getvalue() == "▸ arm64\n  + cargo build\n   Compiling x\n  ✓ 1.0s · 1 crate compiled\n"


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": "xterm", "CI": "true"}, {"GITHUB_ACTIONS": "true"}])
def test_nothing_is_drawn_where_a_line_cannot_be_replaced(monkeypatch, env):
    terminal = opened(monkeypatch)
    console = Console(env)
    with console.working(Progress(title="a", started=time.monotonic() - 29)) as tick:
        tick()
    assert terminal.getvalue() == ""


def test_results_are_printed_above_the_lines_of_steps(monkeypatch):
    terminal = opened(monkeypatch)
    console = Console({"TERM": "xterm", "NO_COLOR": "1"})
    with console.working(Progress(title="a", started=time.monotonic())) as tick:
        tick()
        console.line("result")
    assert terminal.getvalue() == "a · 0:00\r\x1b[Jresult\n"


def test_a_wait_is_a_line_in_a_pipe_and_a_status_on_a_terminal(capsys, monkeypatch):
    with Console({}).waiting("waiting for another build", "cargo, process 7") as tick:
        tick()
    assert capsys.readouterr().err == "  waiting for another build (cargo, process 7)\n"
    with Console({}, quiet=True).waiting("waiting", "") as tick:
        tick()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    with Console({"TERM": "xterm"}).waiting("waiting", "cargo, process 7") as tick:
        tick()
    assert sys.stderr.getvalue() == "waiting · cargo, process 7 · 0:00\r\x1b[J"


def test_the_commands_own_work_is_a_status_that_leaves_nothing(monkeypatch):
    terminal = opened(monkeypatch)
    console = Console({"TERM": "xterm", "NO_COLOR": "1"})
    with console.busy("verify acme/app:1"):
        pass
    assert terminal.getvalue() == ""  # nobody can read what is there for a moment
    monkeypatch.setattr("buildlib.process.console.SHORT", 0.0)
    end = time.monotonic() + 30
    with console.busy("verify acme/app:1"):
        while not terminal.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
    assert re.fullmatch(r"(?s)verify acme/app:1 · 0:00.*\r\x1b\[J", terminal.getvalue())
    console.quiet = True
    with console.busy("verify other/app:1"):
        time.sleep(0.3)
    assert "other" not in terminal.getvalue()


def test_a_narrow_terminal_gets_fewer_columns_and_a_pipe_all(capsys, monkeypatch):
    terminal = opened(monkeypatch)
    head, rows = ("arch", "binary", "sha256", "status"), [("arm64", "x" * 30, "9cb72f5b391b" * 2, "done")]
    Console({"TERM": "xterm", "NO_COLOR": "1"}).table(head, rows, important=("arch", "status"))
    assert terminal.getvalue().splitlines() == [
        f"arch   {'binary':30}  status", f"arm64  {'x' * 30}  done", "not shown in 60 columns: sha256",
    ]  # fmt: skip
    monkeypatch.undo()
    Console({}).table(head, rows, important=("arch", "status"))
    assert capsys.readouterr().out.splitlines() == [
        f"arch   {'binary':30}  {'sha256':24}  status", f"arm64  {'x' * 30}  {'9cb72f5b391b' * 2}  done",
    ]  # fmt: skip


def test_tables_are_also_on_the_summary_page(capsys, tmp_path):
    page = tmp_path / "summary"
    page.write_text("before\n")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page)}
    Console(env).table(("arch", "passed"), [("arm64", "2"), ("a|b", "3"), ("\\|<b>[x](y)\n", "`")])
    assert page.read_text() == (
        "before\n| arch | passed |\n| --- | --- |\n| arm64 | 2 |\n| a\\|b | 3 |\n| \\\\\\|\\<b>\\[x](y)\\\\n | \\` |\n\n"
    )
    # A page that cannot be written is ignored; without GITHUB_ACTIONS the variable belongs to something else.
    Console(env | {"GITHUB_STEP_SUMMARY": str(tmp_path)}).table(("arch",), [("arm64",)])
    Console({"GITHUB_STEP_SUMMARY": str(page)}).table(("arch",), [("arm64",)])
    assert page.read_text().count("arm64") == 1 and capsys.readouterr().out.count("arm64") == 3


@pytest.mark.parametrize(("env", "err"), [({}, ""), ({"GITHUB_ACTIONS": "true"}, "::error::arm64 · a: failed\n")])
def test_a_failed_test_is_an_annotation(capsys, env, err):
    Console(env).failure("arm64 · a: failed")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("✗ arm64 · a: failed\n", err)


def test_a_fold_is_closed_when_the_work_fails(capsys):
    with pytest.raises(KeyError), Console({"GITHUB_ACTIONS": "true"}).fold("x"):
        raise KeyError
    assert capsys.readouterr().err == "::group::x\n::endgroup::\n"


def test_results_go_to_stdout(capsys):
    console = Console({})
    console.json({"ä": [1]})
    console.table(("a", "b"), [("1", "x" * 150)])
    printed = capsys.readouterr()
    assert printed.err == "" and json.loads(printed.out[: printed.out.index("}") + 1]) == {"ä": [1]}
    assert "ä" in printed.out and "x" * 150 in printed.out


def test_quiet_prints_only_problems(capsys):
    console = Console({}, quiet=True)
    with console.fold("x"), console.working(Progress(title="x", started=0.0)) as tick:
        console.command(("cargo",))
        console.note("n")
        assert tick is None
        console.done(1.0)
    console.warn("w")
    assert capsys.readouterr().err == "warning: w\n"


def test_no_terminal_means_no(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert Console({}).confirm("Install?") is False


# --- streams that cannot be written -------------------------------------------------------------------------------

PRINT = {
    "table": "console.table(('a', 'b'), [('1', '2')])",
    "json": "console.json({'a': 1})",
    "line": "console.line('x')",
    "failure": "console.failure('x')",
    "large": "console.json(list(range(100_000)))",
}


def run(code, *, env=(), **streams):
    """Run code with a console as `cli.entry` does: a BuildError is one message and exit code."""
    program = f"""
import os, sys
from buildlib.core.errors import BuildError
from buildlib.process.console import Console, discard
console = Console(os.environ)
try:
    {code}
except BuildError as error:
    console.error(error)
    sys.exit(error.code)
except BrokenPipeError:
    discard(sys.stdout)
    sys.exit(141)
"""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    # With this variable, which containers like to set, Python has no buffers that it writes when it exits.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", program], env={**inherited, **dict(env)}, check=False, **streams)


@pytest.mark.processes
@pytest.mark.parametrize("code", PRINT.values(), ids=PRINT)
def test_a_full_stdout_is_one_error(code):
    """/dev/full answers every write with ENOSPC, as a full disk does. The interpreter does not fail again at its exit."""
    with open("/dev/full", "wb") as full:
        done = run(code, stdout=full)
    assert (done.returncode, done.stderr.decode()) == (
        1, "error: stdout: No space left on device\n  help: free some space, or redirect the output elsewhere\n",
    )  # fmt: skip


@pytest.mark.processes
def test_a_full_stderr_does_not_end_the_command():
    with open("/dev/full", "wb") as full:
        done = run("console.note('n'); console.warn('w'); console.output('o'); console.line('result')", stderr=full)
    assert (done.returncode, done.stdout) == (0, b"result\n")


@pytest.mark.processes
@pytest.mark.parametrize("code", PRINT.values(), ids=PRINT)
def test_a_reader_that_has_gone_is_left_to_the_caller(code):
    """rich would exit with code 1 by itself; `cli.app` exits with 141."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(code.replace("console", "sys.stdout.reconfigure(write_through=True); console", 1), stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == 141, done.stderr.decode()


@pytest.mark.processes
def test_a_closed_stdout_is_no_error():
    done = run(
        "console.table(('a',), [('1',)]); console.json(1); console.line('x')", stdout=None, preexec_fn=close_stdout
    )
    assert (done.returncode, done.stderr) == (0, b"")


def close_stdout():
    os.close(1)


@pytest.mark.processes
def test_with_stderr_closed_no_message_gets_into_the_result():
    code = "console.note('n'); console.warn('w'); console.output('o'); console.error(BuildError('e')); console.json(1)"
    done = run(code, stderr=None, preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout) == (0, b"1\n")


def test_another_write_error_names_stdout(monkeypatch):
    class Broken(io.StringIO):
        def flush(self):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(BuildError) as caught:
        Console({}).json(1)
    assert (caught.value.code, caught.value.message) == (1, "stdout: Input/output error")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("encoding", "mark"), [("ascii", b"\\u2713"), ("latin-1", b"\\u2713"), ("utf-8", "✓".encode())]
)
def test_characters_that_the_encoding_does_not_have_are_escaped(encoding, mark):
    code = (
        "console.done(1); console.line('\\u2713'); console.table(('\\u2713',), [('\\u2713',)]); console.json('\\u2713')"
    )
    done = run(code, env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b"  " + mark + b" 1.0s\n"
    *lines, text = done.stdout.splitlines()
    assert [line.rstrip() for line in lines] == [mark] * 3
    assert json.loads(text.decode(encoding)) == "✓"


@pytest.mark.processes
def test_json_has_no_byte_of_a_file_name_that_is_not_utf_8():
    done = run("console.json('a\\udcff')", env={"LC_ALL": "C"})
    assert (done.returncode, done.stdout) == (0, b'"a\\udcff"\n')


@pytest.mark.processes
def test_json_stays_json_in_latin_1():
    done = run("console.json('\\xe4')", env={"PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, json.loads(done.stdout.decode("latin-1"))) == (0, "ä")


@pytest.mark.processes
@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_the_c_locale_prints_everything(locale):
    done = run("console.done(1, '\\u2713 \\u00e4'); console.line('\\u2713')", env={"LC_ALL": locale, "LANG": locale})
    assert done.returncode == 0, done.stderr.decode()
