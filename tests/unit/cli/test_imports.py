"""What a command imports before it has anything to do: each of these takes as long as many others together."""

import subprocess
import sys

import pytest

SLOW = {"asyncio", "docker", "elftools", "email", "requests", "rich", "tenacity", "tree_sitter", "unittest", "yaml"}
HELP = """
import sys
from buildlib.cli import app
sys.argv = ["buildlib", *WORDS]
try:
    app.main()
except SystemExit:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
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
def test_the_mock_context_of_invoke_works_where_buildlib_is_imported_first():
    assert run(MOCK) == ("text 1\n", "")


@pytest.mark.processes
def test_what_invoke_has_is_there_when_it_is_used(tmp_path):
    (tmp_path / "invoke.yaml").write_text("run:\n  echo: true\n")
    assert run(CONFIGURATION, str(tmp_path / "invoke.yaml")) == ("True False False\nTrue True\n", "")
