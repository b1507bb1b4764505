"""What a command imports before it has anything to do: each of these takes as long as many others together."""

import shutil
import subprocess
import sys

import pytest

UNUSED = {
    "msgspec",
    "buildlib.core.plan",
    "buildlib.core.settings",
    "buildlib.failures.redact",
}  # by the page of the program
# What a command that succeeds without a terminal has no use for: patterns of failures, colours, e-mail (of importlib.metadata), the
# calls of the sandbox, and the pages of help.
OF_OTHERS = {"buildlib.failures.diagnosis", "buildlib.usage.help_pages", "ctypes", "email", "rich", "requests"}
SLOW = {"asyncio", "docker", "elftools", "email", "requests", "rich", "tenacity", "tree_sitter", "unittest", "yaml"}
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
HELP = """
import sys
from buildlib.cli import app
sys.argv = ["buildlib", *WORDS]
try:
    app.main()
except SystemExit:
    print(*{name.partition(".")[0] for name in sys.modules}, *sys.modules, file=sys.stderr)
"""
CONFIGURATION = """
import sys
import buildlib.cli
import invoke
from importlib import metadata
print(invoke.__version__ == metadata.version("invoke"), hasattr(invoke, "absent"), "invoke.vendor.yaml.loader" in sys.modules)
config = invoke.Config(runtime_path=sys.argv[1])
config.load_runtime()
print(config.run.echo, "invoke.vendor.yaml.loader" in sys.modules)
"""
MOCK = """
import buildlib.cli
from invoke import MockContext, Result
context = MockContext(run={"a": Result("text")})
print(context.run("a").stdout, context.run.call_count)
"""


def run(program, *words):
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


@pytest.mark.processes
@pytest.mark.parametrize("words", [["--help"], ["build", "--help"], ["completion", "bash"], ["-V"]], ids=" ".join)
def test_help_and_completion_import_nothing_slow(words):
    _, modules = run(HELP.replace("*WORDS", repr(words)[1:-1]))
    assert "invoke" in modules.split()
    assert SLOW & set(modules.split()) == set()


@pytest.mark.processes
def test_the_page_of_the_program_reads_no_settings():
    _, modules = run(HELP.replace("*WORDS", '"--help"'))
    assert UNUSED & set(modules.split()) == set()


@pytest.mark.processes
@pytest.mark.skipif(not (shutil.which("cargo") and shutil.which("git")), reason="needs cargo and git")
def test_a_build_imports_what_it_needs(tmp_path, monkeypatch):
    (tmp_path / "Cargo.toml").write_text("[package]\nname = 'app'\nversion = '1.0.0'\nedition = '2021'\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.rs").write_text("fn main() {}\n")
    (tmp_path / "Cargo.lock").write_text("version = 4\n[[package]]\nname = 'app'\nversion = '1.0.0'\n")
    for words in (("init", "-q"), ("add", "."), (*IDENTITY, "commit", "-q", "-m", "all")):
        subprocess.run(("git", *words), cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    _, shown = run(HELP.replace("*WORDS", '"build", "--dry-run"'))
    modules = set(shown.split())
    assert "buildlib.binaries.build" in modules
    assert OF_OTHERS & modules == set()


@pytest.mark.processes
def test_the_mock_context_of_invoke_works_where_buildlib_is_imported_first():
    assert run(MOCK) == ("text 1\n", "")


@pytest.mark.processes
def test_what_invoke_has_is_there_when_it_is_used(tmp_path):
    (tmp_path / "invoke.yaml").write_text("run:\n  echo: true\n")
    assert run(CONFIGURATION, str(tmp_path / "invoke.yaml")) == ("True False False\nTrue True\n", "")
