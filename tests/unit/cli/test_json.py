"""--json of every command: stdout is JSON and nothing else, also when the command fails, and has the declared type."""

import io
import json
import shutil
import sys

import pytest
from json_results import check, commands, documents, replies
from machines import Machine

from buildlib.binaries.build import BuildResult
from buildlib.cli import app, command_list, entry
from buildlib.cli.commands import build as build_command
from buildlib.core.errors import CompileFailed
from buildlib.core.plan import Status
from buildlib.core.targets import TARGETS

COMMANDS = commands()
BY_LINES = {"explain"}  # one document per line
WORKSPACE = {
    "Cargo.toml": "[package]\nname = 'app'\nversion = '1.0.0'\nedition = '2021'\n",
    "src/main.rs": "fn main() {}\n",
    "Dockerfile": "FROM --platform=linux/amd64 debian\n",
    "app.log": "error: could not compile\n",
}
# For each command its words in a workspace, without a network and without Docker, and the exit codes that are right there.
IN_WORKSPACE = {
    "build": ("--dry-run build --arch amd64", (0, 4)),
    "reproduce": ("--dry-run reproduce --arch amd64", (0, 4)),
    "image": ("image --engine docker --arch amd64", (4,)),
    "merge": ("merge nowhere", (2,)),
    "dockerfile": ("dockerfile", (0, 4)),
    "verify": ("verify app.log", (6,)),
    "sign": ("sign", (2,)),
    "lint": ("lint", (1,)),
    "test": ("--dry-run test --arch amd64", (0, 4)),
    "bench": ("--dry-run bench --arch amd64", (0, 4)),
    "smoke": ("smoke", (2,)),
    "plan": ("plan --arch amd64", (0, 4)),
    "report": ("--dry-run report", (0,)),
    "config": ("config", (0,)),
    "ci": ("ci --install x", (0,)),
    "doctor": ("doctor --arch amd64", (0, 4)),
    "setup": ("--dry-run setup --yes --arch amd64", (0, 4)),
    "explain": ("explain app.log", (0,)),
    "completion": ("completion fish", (0,)),
    "clean": ("clean --dry-run", (0,)),
    "builder": ("builder", (4,)),
    "builder.create": ("builder.create", (4,)),
    "builder.remove": ("builder.remove", (4,)),
}


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line as the console script does; returns its exit code, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["buildlib", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        with pytest.raises(SystemExit) as caught:
            app.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    root = tmp_path / "workspace"
    for name, text in WORKSPACE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.chdir(root)
    for name, value in {
        "XDG_CACHE_HOME": tmp_path / "cache", "DOCKER_CONFIG": tmp_path / "docker", "DOCKER_HOST": "tcp://127.0.0.1:1",
        "CARGO_NET_OFFLINE": "true", "HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    return root


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_option(name):
    assert "--json" in [word for one in command_list.describe(name).options for word in one.words]


@pytest.mark.processes
@pytest.mark.skipif(not shutil.which("cargo"), reason="needs cargo")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_in_a_workspace_prints_json_and_nothing_else(name, run, workspace):
    assert IN_WORKSPACE.keys() == COMMANDS.keys()
    words, codes = IN_WORKSPACE[name]
    code, out, _ = run(*words.split(), "--json")
    assert code in codes, out
    kinds = [check(COMMANDS[name], document, code) for document in documents(out, lines=name in BY_LINES)]
    assert kinds == [COMMANDS[name]] or code in (2, 4)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_an_error_as_json_and_as_text(name, run):
    code, out, err = run(name, "--json", "--zzz")
    (document,) = documents(out)
    assert (check(COMMANDS[name], document, code), code) == ("failure", 2)
    (error,) = document["errors"]
    assert (error["message"], error["class"]) == ("unknown option '--zzz'", "usage")
    assert err == f"error: {error['message']}\n  help: {error['help']}\n"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("interrupt", "code", "message"),
    [(KeyboardInterrupt, 130, "interrupted"), (entry.Terminated, 143, "terminated")],
)
def test_an_interrupted_command_says_so(name, interrupt, code, message, run, monkeypatch):
    def interrupted():
        raise interrupt

    report_errors = entry.report_errors
    monkeypatch.setattr(
        entry, "report_errors", lambda console, work, debug: report_errors(console, interrupted, debug=debug)
    )
    found, out, err = run(name, "--json")
    (document,) = documents(out)
    assert check(COMMANDS[name], document, found) == "failure"
    assert (found, err, document["errors"]) == (
        code, f"error: {message}\n", [{"message": message, "help": "", "class": "interrupted"}],
    )  # fmt: skip
    assert "\n" not in out.rstrip("\n")  # so that it is a line for those who read lines


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_without_a_workspace_prints_one_document(name, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: Machine(cwd=cwd))
    words = {"verify": ["absent"], "completion": ["zsh"]}.get(name, [])
    code, out, err = run(name, "--json", *words)
    for document in documents(out, lines=name in BY_LINES):
        kind = check(COMMANDS[name], document, code)
        assert (kind == "failure") == (code == 2)
        assert all(f"error: {error['message']}\n" in err for error in document["errors"])


@pytest.mark.parametrize(
    "words",
    [("--json",), ("biuld", "--json"), ("build", "--arch", "--json"), ("build", "--json", "--color=x"), ("build", "--json", "x"),
     ("-T", "x", "build", "--json")],
)  # fmt: skip
def test_a_command_line_that_cannot_be_read_is_an_error_as_json(words, run):
    code, out, err = run(*words)
    (document,) = documents(out)
    assert (check("failure", document, code), code, document["errors"][0]["class"]) == ("failure", 2, "usage")
    assert err.startswith(f"error: {document['errors'][0]['message']}\n")


@pytest.mark.parametrize("words", [("biuld",), ("build", "--zzz"), ("build", "--zzz", "--", "--json")])
def test_without_the_option_stdout_stays_empty(words, run):
    assert run(*words)[:2] == (2, "")


def test_what_came_before_an_error_is_the_only_document(run, monkeypatch):
    """A result that says that a target has failed is not followed by a second document."""
    failed = BuildResult(target=TARGETS["arm64"], status=Status.FAILED, error=CompileFailed("arm64: no", "fix it"))

    class Context:
        def __getattr__(self, name):
            return lambda *_: ()

    monkeypatch.setattr(build_command, "open_workspace", lambda *_, **__: Context())
    monkeypatch.setattr("buildlib.binaries.build.build", lambda *_: [failed])

    def interrupted(*_):
        raise KeyboardInterrupt

    for exit_code, code in ((lambda *_: 101, 101), (interrupted, 130)):
        monkeypatch.setattr(build_command, "exit_code", exit_code)
        found, out, _ = run("build", "--json")
        (document,) = documents(out)
        assert (found, [row["errors"] for row in replies(document)]) == (
            code, [[{"message": "arm64: no", "help": "fix it", "class": "compile"}]],
        )  # fmt: skip


def test_a_line_for_each_log_and_one_for_the_error(run, tmp_path):
    log = tmp_path / "log"
    log.write_text("toomanyrequests: try again in 5m\n")
    code, out, _ = run("explain", str(log), str(tmp_path / "absent"), "--json")
    first, second = map(json.loads, out.splitlines())
    assert (code, first["ok"], first["class"], second["exit_code"]) == (2, True, "rate-limited", 2)
    assert second["errors"][0]["message"] == f"{tmp_path}/absent: No such file or directory"


def test_an_internal_error_is_one_too(run, monkeypatch):
    def broken(*_, **__):
        raise KeyError("x")

    monkeypatch.setattr(build_command, "open_workspace", broken)
    code, out, _ = run("build", "--json")
    (document,) = documents(out)
    assert (check("build", document, code), code, document["errors"][0]["class"]) == ("failure", 70, "internal")


def test_stdout_that_cannot_be_written_is_no_second_error(run, monkeypatch):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    code, _, err = run("completion", "bash", "--json")
    assert (code, err.splitlines()[0]) == (1, "error: stdout: No space left on device")
