"""The only module that prints. Progress and messages go to stderr, results (tables, JSON, lines) to stdout.

Text from elsewhere is printed through `escaping`, so that it cannot control the terminal or GitHub's runner.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from copy import copy
from functools import cached_property
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

from buildlib.core.errors import BuildError, Interrupted
from buildlib.display import escaping, terminal, text_table
from buildlib.display.progress import SHORT, Progress, with_holder
from buildlib.display.status import Status
from buildlib.display.terminal import Color
from buildlib.process.history import NO_HISTORY, History
from buildlib.process.standard_streams import discard, writing_to_stdout

if TYPE_CHECKING:
    from rich.console import Console as Rich
    from rich.text import Text


class Console:
    """Plain lines in pipes and CI, a line per running step on a terminal, folds and annotations in GitHub Actions.

    `quiet` shows warnings and errors alone, `verbose` everything: what a terminal shows otherwise is a line per step, and the
    titles and command lines of those that have more to say. All text is printed literally: `[bold]` is no markup. Control
    characters are escaped, and so is what the stream's encoding does not have.
    """

    def __init__(self, env: Mapping[str, str], *, quiet: bool = False, color: Color = "auto") -> None:
        for stream in (sys.stdout, sys.stderr):
            terminal.escape_unencodable(stream)
        self.github = env.get("GITHUB_ACTIONS") == "true"
        other_systems = {"TF_BUILD", "TEAMCITY_VERSION"}  # the variables of Azure Pipelines and TeamCity
        self.read_by_ci = self.github or not other_systems.isdisjoint(env)
        self.summary = Path(env["GITHUB_STEP_SUMMARY"]) if self.github and env.get("GITHUB_STEP_SUMMARY") else None
        self.quiet = quiet
        self.history: History = NO_HISTORY  # where errors are recorded
        self.interactive = (
            terminal.is_terminal(sys.stderr) and not self.github and "CI" not in env and env.get("TERM") != "dumb"
        )
        self._wanted = terminal.wanted_colours(color, env)
        self.verbose = False
        self._status = Status(sys.stderr if self.interactive else None, self.note)
        self._headlines: list[str] = []  # of folds, not shown yet
        self._warned: set[str] = set()
        self.as_json = False  # whether the result is printed as JSON
        self._held: list[tuple[str | Text, str]] | None = None  # what is printed at the end of a part
        self.has_document = False  # whether it has been: a JSON document must be the only one

    @property
    def compact(self) -> bool:
        """Whether a step is one line, as long as it has nothing to say."""
        return self.interactive and not (self.verbose or self.quiet)

    @property
    def colour(self) -> bool:
        """Whether messages have colours."""
        return self.interactive if self._wanted is None else self._wanted

    @cached_property
    def _err(self) -> Rich:
        return terminal.rich_console(sys.stderr, self.colour)

    def _message(self, text: str, style: str = "") -> None:
        """Print to stderr: text from elsewhere, with its control characters escaped."""
        self._show_headlines()
        self._print(self._safe(escaping.printable(text)), style)

    def _show_headlines(self) -> None:
        """Show the headlines of the folds that were silent so far."""
        if self._headlines:
            with self._status.printing():
                titles, self._headlines = self._headlines, []
                self._print_all((self._safe(escaping.printable(f"▸ {title}")), "bold") for title in titles)

    def _safe(self, text: str) -> str:
        """The text without commands of a CI system, if one reads it."""
        return escaping.without_commands(text) if self.read_by_ci else text

    def _print(self, text: str | Text, style: str = "", *, at_once: bool = False) -> None:
        """Print to stderr. A message that cannot be written (full disk, terminal gone) must not end the command."""
        if self._held is not None and not at_once:
            self._held.append((text, style))
            return
        if sys.stderr is None:  # the command was started with stderr closed; rich would print to stdout instead
            return
        try:
            if self.interactive:
                with self._status.printing():
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
        """Group the output of one part of the work: a fold in GitHub Actions, a headline elsewhere.

        On a terminal the headline is shown once there is something to show below it.
        """
        if self.compact:
            self._headlines.append(title)
        elif not self.quiet:
            self._headline("group", title, f"▸ {title}", "bold")
        try:
            yield
        finally:
            if title in self._headlines:
                self._headlines.remove(title)
            if self.github and not self.quiet:
                self._print("::endgroup::")

    @contextmanager
    def part(self) -> Iterator[Console]:
        """A console for one of several parts of the work that run at once: its lines are printed together, when it has ended.

        What is running is shown meanwhile, and what `note_at_once` gets. A part that is interrupted says nothing.
        """
        part = copy(self)
        part._held, part._headlines = [], []
        try:
            yield part
        except Interrupted:
            raise
        except BaseException:
            self._print_all(part._held)
            raise
        self._print_all(part._held)

    def _print_all(self, lines: Iterable[tuple[str | Text, str]]) -> None:
        with self._status.printing():
            for text, style in lines:
                self._print(text, style)

    def _headline(self, command: str, text: str, plain: str, style: str) -> None:
        """Print a command with `text` in GitHub Actions, and `plain` elsewhere."""
        if self.github:
            self._print(escaping.workflow_command(command, text))
        else:
            self._message(plain, style)

    @contextmanager
    def working(self, progress: Progress) -> Iterator[Callable[[], None] | None]:
        """Show how far a step is until the end of the block, which has to call what it gets several times a second, if anything."""
        if self.quiet:
            yield None
            return
        with self._status.showing(progress):
            yield self._status.tick

    @contextmanager
    def waiting(self, text: str, holder: str) -> Iterator[Callable[[], object]]:
        """Show what this command waits for, for whom, and how long, until the end of the block; as of `working`."""
        if not self.interactive:
            self.note_at_once(with_holder(text, holder))
        with self.working(Progress(title=text, started=time.monotonic(), holder=holder)) as tick:
            yield tick or (lambda: None)

    @contextmanager
    def busy(self, title: str) -> Iterator[None]:
        """Show what this command itself does, and how long, until the end of the block."""
        shown = self.working(Progress(title=title, started=time.monotonic(), delay=SHORT))
        with shown as tick, self._status.ticking() if tick else nullcontext():
            yield

    def command(self, argv: Sequence[str]) -> None:
        """Show a command line."""
        if not self.quiet:
            self._message(f"  + {join(argv)}", "bright_black")

    def output(self, line: str) -> None:
        """Show a line of a tool's output. Colours in it are the tool's."""
        self._show_headlines()
        # At a carriage return a terminal would show the rest over what was there, and GitHub's runner begins a line.
        for part in filter(None, line.split("\r")) if "\r" in line else (line,):
            text = self._safe(escaping.tool_output(part))
            if self.colour and self.interactive:
                from rich.text import Text

                self._print(Text.from_ansi(text))
            else:
                self._print(text if self._wanted is not False else terminal.without_colours(text))

    def done(self, seconds: float, note: str = "", *, title: str = "", code: int = 0) -> None:
        """Show that a command has ended, and how long it took: in the only line about it on a terminal, with its `title`."""
        if self.quiet:
            return
        mark, style = ("✗", "bold red") if code else ("✓", "green")
        parts = (f"{seconds:.1f}s", f"exit code {code}" if code else note)
        if self.compact:
            text = " · ".join(filter(None, (f"{mark} {title}", *reversed(parts))))
            self._print(self._safe(escaping.printable(text)), style)
        else:
            self._message(" · ".join(filter(None, (f"  {mark} {parts[0]}", parts[1]))), style)

    def note(self, text: str) -> None:
        """Show a line of information."""
        if not self.quiet:
            self._message(f"  {text}")

    def note_at_once(self, text: str) -> None:
        """Show a line of information in a part as well before it has ended: what it waits for may take long."""
        if self._held is None:
            self.note(text)
        elif not self.quiet:
            self._print(self._safe(escaping.printable(f"  {text}")), at_once=True)

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

    def table(
        self, head: Sequence[str], rows: Iterable[Sequence[str]], important: Sequence[str] = (), below: str = ""
    ) -> None:
        """Print a table, also to the job's summary page in GitHub Actions. BuildError if stdout cannot be written.

        A terminal that is too narrow for all columns gets those that matter: `important` has their titles, the most important
        first; the others follow from left to right. The column `below` is then in lines of its own below the rows.
        """
        head, *rows = [tuple(self._safe(escaping.one_line(cell)) for cell in row) for row in (head, *rows)]
        width = terminal.width(sys.stdout) if terminal.is_terminal(sys.stdout) else None
        title, *lines, omitted = text_table.lines(head, rows, important, below, width)
        more = (self._coloured(f"not shown in {width} columns: {omitted}", "bright_black"),) if omitted else ()
        self._result("\n".join((self._coloured(title, "bold"), *lines, *more)))
        if self.summary:
            text = "".join(map(escaping.markdown_row, (head, ("---",) * len(head), *rows)))
            # A summary page that cannot be written must not change the result.
            with suppress(OSError), self.summary.open("a", encoding="utf-8") as page:
                page.write(f"{text}\n")

    def json(self, data: Any, *, indent: int | None = 2) -> None:
        """Print JSON, in one line if `indent` is None. BuildError if stdout cannot be written."""
        self.has_document = self.has_document or indent is not None
        self._result(escaping.json_text(data, indent=indent, ascii_only=not terminal.is_utf8(sys.stdout)))

    def failure(self, text: str) -> None:
        """Print a line of a result that is a failure, such as a failed test; also an annotation in GitHub Actions."""
        self.line(f"✗ {text}")
        if self.github:
            self._print(escaping.workflow_command("error", text))

    def line(self, text: str) -> None:
        """Print one or more lines of a result. BuildError if stdout cannot be written."""
        self._result(self._safe(escaping.printable(text)))

    def commands(self, lines: Iterable[str]) -> None:
        """Print lines for GitHub's runner, which are commands already. BuildError if stdout cannot be written."""
        self._result("".join(f"{line}\n" for line in lines), end="")

    def _result(self, text: str, end: str = "\n") -> None:
        with self._status.printing(), writing_to_stdout():
            print(text, end=end, file=sys.stdout)

    def _coloured(self, text: str, style: str) -> str:
        """A part of a result in a style, if stdout has colours."""
        by_default = self.interactive and terminal.is_terminal(sys.stdout)
        return terminal.coloured(text, style) if (by_default if self._wanted is None else self._wanted) else text

    def confirm(self, question: str) -> bool:
        """Ask the user at the terminal a yes/no question. False without a terminal."""
        if not terminal.is_terminal(sys.stdin):
            return False
        self._message(f"{question} [y/N] ")
        return sys.stdin.readline().strip().lower() in ("y", "yes")
