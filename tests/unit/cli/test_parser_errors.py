"""Whatever the words are, the parser's answer is ours: one message and exit code 2, or what was asked for."""

import contextlib
import io

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from buildlib.cli import command_list
from buildlib.cli.app import Buildlib
from buildlib.cli.collection import namespace
from buildlib.cli.entry import report_errors
from buildlib.process.console import Console
from buildlib.usage.option_table import AT_TOP

COMMANDS = command_list.describe_all()
OPTIONS = sorted({word for command in COMMANDS for one in (*command.options, *AT_TOP) for word in one.words})
INVOKE = [
    "--hide",
    "--complete",
    "-f",
    "-F",
    "-T",
    "-D",
    "-e",
    "-p",
    "--print-completion-script",
    "--list-format",
    "-R",
]
WORDS = st.one_of(
    st.sampled_from([command.name for command in COMMANDS] + ["help", "builder.inspect", "--", "-", "", "=", "none"]),
    st.sampled_from(OPTIONS + INVOKE),
    st.builds("{}={}".format, st.sampled_from(OPTIONS + INVOKE), st.sampled_from(["", "1", "x", "build", "-p", "a=b"])),
    st.text(alphabet="-=abx1'\"\\.{}[]é\n", max_size=6),
)


class Parsed(Buildlib):
    """Parses, and runs no command."""

    def execute(self):
        """Do nothing."""


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WORDS, max_size=5))
@example(["build", "--json="])
@example(["build", "'"])
@example(["build", "{}"])
@example(["--list", "build"])
@example(["--help", "--list"])
@example(["--complete", "--", "build --"])
def test_every_command_line_is_parsed_or_one_error(words):
    out, err = io.StringIO(), io.StringIO()
    program = Parsed(name="buildlib", binary="buildlib", version="0", namespace=namespace)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = report_errors(Console({}), lambda: program.run(["buildlib", *words]), debug=True)
        except SystemExit as ended:
            code = ended.code
    message = err.getvalue()
    assert (code or 0, bool(message)) in ((0, False), (2, True)), message
    for word in ("No idea", "Argument", "Traceback", "invalid literal", "Sub-collection"):
        assert word not in message
    assert not message or message.startswith("error: ")
