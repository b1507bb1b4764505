"""What a command imports before it has anything to do: each of these takes as long as many others together."""

import subprocess
import sys

import pytest

SLOW = {"asyncio", "docker", "elftools", "requests", "rich", "tenacity", "tree_sitter", "unittest"}
HELP = """
import sys
from buildlib.cli import app
sys.argv = ["buildlib", "--help"]
try:
    app.main()
except SystemExit:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""
MOCK = """
import buildlib.cli
from invoke import MockContext, Result
context = MockContext(run={"a": Result("text")})
print(context.run("a").stdout, context.run.call_count)
"""


def run(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


@pytest.mark.processes
def test_the_help_imports_nothing_slow():
    _, modules = run(HELP)
    assert "invoke" in modules.split()
    assert SLOW & set(modules.split()) == set()


@pytest.mark.processes
def test_the_mock_context_of_invoke_works_where_buildlib_is_imported_first():
    assert run(MOCK) == ("text 1\n", "")
