"""What every command starts with: errors become a message and an exit code, flags become settings."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from buildlib.core.errors import BuildError, InternalError, Interrupted, UsageError
from buildlib.core.stopping import Stop
from buildlib.display.terminal import COLORS, Color
from buildlib.process.console import Console

if TYPE_CHECKING:
    from buildlib.core.request import Request
    from buildlib.process.context import Context, Scope

ARCH = "amd64, arm64, armv7, …; all, native; may be repeated or hold commas"
COMPONENT = "a binary of the workspace, PACKAGE/BINARY, an image of the settings, or all; default: all"
SHARD = "part N of COUNT of the arches, by default of all; `merge` joins the parts"
JSON = "print the result as JSON on stdout"
MEANWHILE = ("buildlib.binaries.build", "buildlib.report.tables")
TERMINATED = 143  # 128 + SIGTERM, as shells report it


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which end a command as Ctrl-C does, with all that it has started."""


class CommandTask(Task[Any]):
    """A task that keeps its help texts; Invoke's forgets them with the first use, but completion and help both need them.

    A text may be a function that returns it: few commands show any.
    """

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the options, with their help texts every time."""
        texts = {name: text() if callable(text) else text for name, text in self.help.items()}
        return self._arguments(texts, ignore_unknown_help)

    def parsed_arguments(self) -> list[Argument]:
        """Return the options as a parser needs them, without help texts."""
        return self._arguments({})

    def _arguments(self, texts: dict[str, str], ignore_unknown_help: bool | None = None) -> list[Argument]:
        declared, self.help = self.help, texts
        try:
            return super().get_arguments(ignore_unknown_help)
        finally:
            self.help = declared


# The decorator of a command: Invoke's `task`, with the options alone that the command declares.
task = functools.partial(invoke_task, klass=CommandTask, auto_shortflags=False)


def setting_help(key: str) -> Callable[[], str]:
    """The help text of the flag that sets `key`, once it is needed."""

    def text() -> str:
        from buildlib.core.settings import help_text

        return help_text(key)

    return text


def settings_help(*keys: str) -> dict[str, Callable[[], str]]:
    """Help texts of the flags that set these settings, once they are needed."""
    return {key.rpartition(".")[2]: setting_help(key) for key in keys}


def command(body: Callable[..., int | None]) -> Callable[..., None]:
    """Wrap the function of a command: pass it a Console, and turn its errors into one message and an exit code.

    Invoke would print a traceback for every exception but its own.
    """

    @functools.wraps(body)  # keeps Invoke's flags and help
    def enter(c: Any, **kwargs: Any) -> None:
        # Invoke switches bytecode files off, but without them every start would compile the modules of buildlib again.
        sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
        for number in (signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal has gone; nohup has it ignored
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _terminate)
        console = Console(os.environ, color=color_requested())
        console.as_json = bool(kwargs.get("json"))
        start = time.monotonic()
        code = report_errors(console, lambda: body(c, console, **kwargs), debug=debug_requested())
        console.history("end", code=code, seconds=round(time.monotonic() - start, 3))
        if code:  # not for 0: Exit would end `inv a b` after a
            raise Exit(code=code)

    # Invoke must not see the parameter `console`, which `enter` adds: it would become a flag.
    del enter.__wrapped__
    signature = inspect.signature(body)
    enter.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameter for name, parameter in signature.parameters.items() if name != "console"]
    )
    return enter


def report_errors(console: Console, work: Callable[[], int | None], *, debug: bool) -> int:
    """Call `work` and return its exit code. An error is shown as one message; `debug` raises unexpected ones again.

    For a console whose results are JSON it is printed as JSON as well, unless a result has been.
    """
    error: BuildError
    try:
        return work() or 0
    except Terminated:
        error, code = Interrupted("terminated"), TERMINATED
    except KeyboardInterrupt:
        error, code = Interrupted("interrupted"), Interrupted.code
    except BuildError as raised:
        error, code = raised, raised.code
    except BrokenPipeError:  # nobody reads the output any more; `app.main` handles it
        raise
    except Exception as raised:
        if debug:
            raise
        error = explain(raised)
        code = error.code
    console.error(error)
    if console.as_json and not console.has_document:
        from buildlib.report.reply import reply

        with suppress(BuildError):  # stdout cannot be written, which may be the error
            console.json(reply([error], code), indent=None)
    return code


def debug_requested() -> bool:
    """Whether the command line asks for tracebacks. Invoke handles --debug itself and does not pass it on."""
    return _is_given("--debug", "-d")


def json_requested() -> bool:
    """Whether the command line asks for JSON: if it cannot be parsed, no command knows."""
    return _is_given("--json")


def _is_given(*words: str) -> bool:
    return not set(words).isdisjoint(sys.argv[1 : sys.argv.index("--") if "--" in sys.argv else None])


def color_requested() -> Color:
    """The value of --color on the command line, "auto" without one. `app` reports a wrong one."""
    try:
        return without_color(sys.argv)[0]
    except UsageError:
        return "auto"


def without_color(words: Sequence[str]) -> tuple[Color, list[str]]:
    """The value of --color, which may be before or behind the command, and the other words. UsageError for a wrong value."""
    choice: Color = "auto"
    end = words.index("--") if "--" in words else len(words)
    rest, before = [], iter(words[:end])
    for word in before:
        name, equals, value = word.partition("=")
        if name != "--color":
            rest.append(word)
            continue
        value = value if equals else next(before, "")
        if value not in COLORS:
            from buildlib.core.targets import suggestion

            message = f"unknown value {value!r} of --color" if value else "option '--color' needs a value"
            raise UsageError(message, suggestion(value, COLORS))
        choice = value
    return choice, [*rest, *words[end:]]


def explain(error: Exception) -> BuildError:
    """An unexpected exception as a BuildError: an error of the operating system, or a bug in buildlib."""
    if isinstance(error, OSError) and error.strerror:
        from buildlib.process.files import disk_error

        where = f"{error.filename}: " if error.filename else ""
        return BuildError(
            f"{where}{error.strerror}", disk_error(error).help or "run again with --debug for the traceback"
        )
    text = " ".join(str(error).split())
    return InternalError(
        f"internal error: {type(error).__name__}{f': {text[:300]}' if text else ''}",
        "run again with --debug for the traceback",
    )


def _terminate(*_: Any) -> None:
    raise Terminated


def open_workspace(
    c: Any, console: Console, flags: Mapping[str, Any] | None = None, request: Request | None = None, *,
    scope: Scope = "workspace", recorded: bool = False,
) -> Context:  # fmt: skip
    """The context of a command. It runs cargo and rustc; meanwhile the modules that most commands need later are imported.

    With `recorded`, errors and the end of the command are written to the history.
    """
    from concurrent.futures import ThreadPoolExecutor

    from buildlib.core.request import NO_REQUEST
    from buildlib.process.context import open_context

    request = request or NO_REQUEST
    console.quiet, console.verbose = console.quiet or request.quiet, bool(request.verbose)
    with ThreadPoolExecutor(max_workers=1) as pool:
        opening = pool.submit(
            open_context, os.environ, Path.cwd(), flags or {}, console, dry=c.config.run.dry, scope=scope,
            command=join(sys.argv[1:]), request=request,
        )  # fmt: skip
        # A signal that interrupts an import may leave the import lock taken, for which other threads then wait.
        with Stop().signals():
            for name in (*MEANWHILE, *(("rich.console",) if console.interactive else ())):
                importlib.import_module(name)
        context = opening.result()
    if recorded:
        console.history = context.history
    return context


def absolute(folder: str) -> str:
    """A path from the command line, relative to the current directory; "" stays "". Paths from files are relative to the workspace."""
    return str(Path(folder).expanduser().absolute()) if folder else ""


def extra_words() -> tuple[str, ...]:
    """The words after `--`, each as it was given; Invoke itself would join them into one string."""
    return tuple(sys.argv[sys.argv.index("--") + 1 :]) if "--" in sys.argv else ()


def split(words: Iterable[str]) -> list[str]:
    """The values of an option that may be repeated and may contain several values with commas between them."""
    return [part.strip() for word in words for part in word.split(",") if part.strip()]
