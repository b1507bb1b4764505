"""The only voice. Work is told on stderr, results (tables, JSON) on stdout."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

from buildlib.core.errors import BuildError

if TYPE_CHECKING:
    from rich.console import Console as Rich

# What cargo says on its way; on a terminal it moves the status line instead of scrolling by.
ON_ITS_WAY = re.compile(
    r"^\s*(Compiling|Downloaded|Downloading|Updating|Locking|Fresh|Finished|Checking|Adding|Unpacking|Blocking)\b"
)


class Console:
    """Plain lines where nobody watches (pipes, CI), a status line on a terminal, folds in GitHub Actions."""

    def __init__(self, env: Mapping[str, str], *, quiet: bool = False) -> None:
        self.github = env.get("GITHUB_ACTIONS") == "true"
        self.summary = Path(env["GITHUB_STEP_SUMMARY"]) if self.github and env.get("GITHUB_STEP_SUMMARY") else None
        self.quiet = quiet
        self.watched = sys.stderr.isatty() and not self.github and "CI" not in env and env.get("TERM") != "dumb"
        self.colour = self.watched and not env.get("NO_COLOR")
        self._status: Any = None

    @cached_property
    def _err(self) -> Rich:
        return _rich(sys.stderr, self.colour)

    @cached_property
    def _out(self) -> Rich:
        return _rich(sys.stdout, self.colour and sys.stdout.isatty())

    def _say(self, text: str, style: str = "") -> None:
        self._err.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)

    # --- work --------------------------------------------------------------------------------------

    @contextmanager
    def fold(self, title: str):
        """A named stretch of work: a fold in GitHub Actions, a headline elsewhere."""
        if not self.quiet:
            self._say(f"::group::{title}" if self.github else f"▸ {title}", "bold")
        try:
            yield
        finally:
            if self.github and not self.quiet:
                self._say("::endgroup::")

    @contextmanager
    def working(self, title: str):
        """A status line while one command runs, where somebody watches."""
        if not self.watched or self.quiet:
            yield
            return
        with self._err.status(title) as status:
            self._status = lambda text: status.update(f"{title} · {text}")
            try:
                yield
            finally:
                self._status = None

    def command(self, argv: Sequence[str]) -> None:
        if not self.quiet:
            self._say(f"  + {join(argv)}", "bright_black")

    def output(self, line: str) -> None:
        """A line of a tool's own output. Colours in it are the tool's."""
        if self._status and ON_ITS_WAY.match(line):
            self._status(line.strip())
            return
        if self.quiet and ON_ITS_WAY.match(line):
            return
        if self.colour:
            from rich.text import Text

            self._err.print(Text.from_ansi(line), soft_wrap=True)
        else:
            self._say(line)

    def done(self, seconds: float, note: str = "") -> None:
        if not self.quiet:
            self._say(f"  ✓ {seconds:.1f}s{f' · {note}' if note else ''}", "green")

    def note(self, text: str) -> None:
        if not self.quiet:
            self._say(f"  {text}")

    def warn(self, text: str) -> None:
        self._say(f"::warning::{text}" if self.github else f"warning: {text}", "yellow")

    def error(self, error: BuildError) -> None:
        """An error and its cure, one line each."""
        self._say(f"::error::{_escape(error.message)}" if self.github else f"error: {error.message}", "bold red")
        if error.help:
            self._say(f"  help: {error.help}")

    # --- results --------------------------------------------------------------------------------------

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Also on the summary page of a job in GitHub Actions."""
        from rich.table import Table

        rows = [tuple(row) for row in rows]
        table = Table(*head, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*row)
        # A pipe has no width; a narrow guess would fold digests.
        self._out.print(table, highlight=False, soft_wrap=True)
        if self.summary:
            text = "".join(map(_markdown, (head, ("---",) * len(head), *rows)))
            # A page that cannot be written takes nothing from the result.
            with suppress(OSError), self.summary.open("a", encoding="utf-8") as page:
                page.write(f"{text}\n")

    def json(self, data: Any) -> None:
        print(json.dumps(data, indent=2, ensure_ascii=False), file=sys.stdout)

    def failure(self, text: str) -> None:
        """A line of a result that is a failure, such as a failed test: an annotation in GitHub Actions."""
        self.line(f"✗ {text}")
        if self.github:
            self._say(f"::error::{_escape(text)}")

    def line(self, text: str) -> None:
        self._out.print(text, markup=False, highlight=False, soft_wrap=True)

    # --- questions ---------------------------------------------------------------------------------------

    def confirm(self, question: str) -> bool:
        """Yes or no from the person at the terminal; no terminal: no."""
        if not sys.stdin.isatty():
            return False
        self._say(f"{question} [y/N] ")
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def _markdown(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"


def _escape(text: str) -> str:
    # GitHub's workflow commands end at a line break.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _rich(stream: Any, colour: bool) -> Rich:
    from rich.console import Console as Rich

    return Rich(
        file=stream, force_terminal=colour or None, no_color=not colour, emoji=False, width=None if colour else 200
    )
