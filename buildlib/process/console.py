"""The only module that prints. Progress and messages go to stderr, results (tables, JSON, lines) to stdout.

Text from elsewhere is printed through `escaping`, so that it cannot control the terminal or GitHub's runner.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any, TextIO

from buildlib.core.errors import BuildError
from buildlib.process import escaping, terminal
from buildlib.process.history import NO_HISTORY, History
from buildlib.process.terminal import Color

if TYPE_CHECKING:
    from rich.console import Console as Rich
    from rich.text import Text

# cargo's progress; on a terminal it updates the status line instead of scrolling by.
PROGRESS = re.compile(
    r"^\s*(Compiling|Downloaded|Downloading|Updating|Locking|Fresh|Finished|Checking|Adding|Unpacking|Blocking)\b"
)


class Console:
    """Plain lines in pipes and CI, a status line on a terminal, folds and annotations in GitHub Actions.

    All text is printed literally: `[bold]` is no markup. Control characters are escaped, and so is what the stream's encoding
    does not have.
    """

    def __init__(self, env: Mapping[str, str], *, quiet: bool = False, color: Color = "auto") -> None:
        for stream in (sys.stdout, sys.stderr):
            terminal.escape_unencodable(stream)
        self.github = env.get("GITHUB_ACTIONS") == "true"
        # The variables of Azure Pipelines and TeamCity.
        self.read_by_ci = self.github or not {"TF_BUILD", "TEAMCITY_VERSION"}.isdisjoint(env)
        self.summary = Path(env["GITHUB_STEP_SUMMARY"]) if self.github and env.get("GITHUB_STEP_SUMMARY") else None
        self.quiet = quiet
        self.history: History = NO_HISTORY  # where errors are recorded
        self.interactive = (
            terminal.is_terminal(sys.stderr) and not self.github and "CI" not in env and env.get("TERM") != "dumb"
        )
        self._wanted = terminal.wanted_colours(color, env)
        self._show_status: Callable[[str], None] | None = None
        self._warned: set[str] = set()
        self.as_json = False  # whether the result is printed as JSON
        self.has_document = False  # whether it has been: a JSON document must be the only one

    @property
    def colour(self) -> bool:
        """Whether messages have colours."""
        return self.interactive if self._wanted is None else self._wanted

    @cached_property
    def _err(self) -> Rich:
        return terminal.rich_console(sys.stderr, self.colour)

    @cached_property
    def _out(self) -> Rich:
        by_default = self.interactive and terminal.is_terminal(sys.stdout)
        return terminal.rich_console(sys.stdout, by_default if self._wanted is None else self._wanted)

    def _message(self, text: str, style: str = "") -> None:
        """Print to stderr: text from elsewhere, with its control characters escaped."""
        self._print(self._safe(escaping.printable(text)), style)

    def _safe(self, text: str) -> str:
        """The text without commands of a CI system, if one reads it."""
        return escaping.without_commands(text) if self.read_by_ci else text

    def _print(self, text: str | Text, style: str = "") -> None:
        """Print to stderr. A message that cannot be written (full disk, terminal gone) must not end the command."""
        if sys.stderr is None:  # the command was started with stderr closed; rich would print to stdout instead
            return
        try:
            if self.interactive:  # rich keeps the status line below what is printed
                self._err.print(text, style=style or None, soft_wrap=True)
            else:
                shown = terminal.coloured(str(text), style) if self.colour else text
                sys.stderr.write(f"{shown}\n")
                sys.stderr.flush()
        except BrokenPipeError:
            raise
        except OSError:
            discard(sys.stderr)

    # --- progress ----------------------------------------------------------------------------------

    @contextmanager
    def fold(self, title: str) -> Iterator[None]:
        """Group the output of one part of the work: a fold in GitHub Actions, a headline elsewhere."""
        if not self.quiet:
            self._headline("group", title, f"▸ {title}", "bold")
        try:
            yield
        finally:
            if self.github and not self.quiet:
                self._print("::endgroup::")

    def _headline(self, command: str, text: str, plain: str, style: str) -> None:
        """Print a command with `text` in GitHub Actions, and `plain` elsewhere."""
        if self.github:
            self._print(escaping.workflow_command(command, text))
        else:
            self._message(plain, style)

    @contextmanager
    def working(self, title: str) -> Iterator[None]:
        """Show a status line while one command runs, on a terminal only."""
        if not self.interactive or self.quiet:
            yield
            return
        from rich.text import Text

        title = escaping.one_line(title)
        with self._err.status(Text(title)) as status:
            self._show_status = lambda text: status.update(Text(f"{title} · {escaping.one_line(text)}"))
            try:
                yield
            finally:
                self._show_status = None

    def command(self, argv: Sequence[str]) -> None:
        """Show a command line."""
        if not self.quiet:
            self._message(f"  + {join(argv)}", "bright_black")

    def output(self, line: str) -> None:
        """Show a line of a tool's output. Colours in it are the tool's."""
        progress = PROGRESS.match(line)
        if progress and self._show_status:
            self._show_status(line.strip())
            return
        if progress and self.quiet:
            return
        # At a carriage return a terminal would show the rest over what was there, and GitHub's runner begins a line.
        for part in filter(None, line.split("\r")) if "\r" in line else (line,):
            text = self._safe(escaping.tool_output(part))
            if self.colour and self.interactive:
                from rich.text import Text

                self._print(Text.from_ansi(text))
            else:
                self._print(text if self._wanted is not False else terminal.without_colours(text))

    def done(self, seconds: float, note: str = "") -> None:
        """Show that a command has succeeded, and how long it took."""
        if not self.quiet:
            self._message(f"  ✓ {seconds:.1f}s{f' · {note}' if note else ''}", "green")

    def note(self, text: str) -> None:
        """Show a line of information."""
        if not self.quiet:
            self._message(f"  {text}")

    def warn(self, text: str) -> None:
        """Show a warning; an annotation in GitHub Actions."""
        self._headline("warning", text, f"warning: {text}", "yellow")

    def warn_once(self, text: str) -> None:
        """Show a warning, unless this console has shown it before."""
        if text not in self._warned:
            self._warned.add(text)
            self.warn(text)

    def error(self, error: BuildError) -> None:
        """Show an error and its help, one line each, and record them."""
        self._headline("error", error.message, f"error: {error.message}", "bold red")
        if error.help:
            self._message(f"  help: {error.help}")
        if self.history is not NO_HISTORY:
            from buildlib.failures.redact import redact

            self.history("error", message=redact(error.message), help=error.help, code=error.code)

    # --- results --------------------------------------------------------------------------------------

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table, also to the job's summary page in GitHub Actions. BuildError if stdout cannot be written."""
        from rich.table import Table
        from rich.text import Text

        head, *rows = [tuple(self._safe(escaping.one_line(cell)) for cell in row) for row in (head, *rows)]
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in head:
            table.add_column(Text(title))
        for row in rows:
            table.add_row(*map(Text, row))
        with writing_to_stdout():
            # A pipe has no width; a guess that is too narrow would fold digests. For GitHub's runner nothing is folded at all: a
            # part of a cell would begin a line there, where it may be a command.
            if self.github:
                self._out.width = _width(head, *rows)
            self._out.print(table, soft_wrap=True)
        if self.summary:
            text = "".join(map(escaping.markdown_row, (head, ("---",) * len(head), *rows)))
            # A summary page that cannot be written must not change the result.
            with suppress(OSError), self.summary.open("a", encoding="utf-8") as page:
                page.write(f"{text}\n")

    def json(self, data: Any, *, indent: int | None = 2) -> None:
        """Print JSON, in one line if `indent` is None. BuildError if stdout cannot be written."""
        text = escaping.json_text(data, indent=indent, ascii_only=not terminal.is_utf8(sys.stdout))
        self.has_document = self.has_document or indent is not None
        with writing_to_stdout():
            print(text, file=sys.stdout)

    def failure(self, text: str) -> None:
        """Print a line of a result that is a failure, such as a failed test; also an annotation in GitHub Actions."""
        self.line(f"✗ {text}")
        if self.github:
            self._print(escaping.workflow_command("error", text))

    def line(self, text: str) -> None:
        """Print one or more lines of a result. BuildError if stdout cannot be written."""
        text = self._safe(escaping.printable(text))
        with writing_to_stdout():
            print(text, file=sys.stdout)

    def commands(self, lines: Iterable[str]) -> None:
        """Print lines for GitHub's runner, which are commands already. BuildError if stdout cannot be written."""
        text = "".join(f"{line}\n" for line in lines)
        with writing_to_stdout():
            print(text, end="", file=sys.stdout)

    # --- questions ---------------------------------------------------------------------------------------

    def confirm(self, question: str) -> bool:
        """Ask the user at the terminal a yes/no question. False without a terminal."""
        if not terminal.is_terminal(sys.stdin):
            return False
        self._message(f"{question} [y/N] ")
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def flush_stdout() -> None:
    """Write what is still buffered. BuildError if stdout cannot be written, for example because its disk is full.

    What could not be written is dropped then: the interpreter would try to write it once more when it exits, and fail again.
    """
    with writing_to_stdout():
        pass


@contextmanager
def writing_to_stdout() -> Iterator[None]:
    """Flush stdout afterwards. BuildError if stdout cannot be written; an OSError of a file has the file's name."""
    try:
        yield
        if sys.stdout is not None:  # it is None if the command was started with stdout closed
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone; `cli.app` gives that its own exit code
        raise
    except OSError as error:
        if error.filename:
            raise
        discard(sys.stdout)
        raise BuildError(
            f"stdout: {error.strerror or error}", "free some space, or redirect the output elsewhere"
        ) from None


def discard(stream: TextIO) -> None:
    """Redirect a stream to /dev/null with what is still buffered, which Python could not write at its exit either (code 120)."""
    with suppress(OSError, ValueError):  # a replaced stream (in tests) may have no file descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _width(*rows: Sequence[str]) -> int:
    """How many columns of a terminal a table with these rows takes at most; a character takes up to two."""
    return sum(2 + 2 * max(map(len, cells)) for cells in zip_longest(*rows, fillvalue=""))
