"""What every command starts with: errors become a message and an exit code, flags become settings."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit

from buildlib.core.errors import BuildError, InternalError, Interrupted
from buildlib.core.settings import help_text
from buildlib.process.console import Console

if TYPE_CHECKING:
    from buildlib.process.context import Context

ARCH = "amd64, arm64, armv7, …; all, native; may be repeated or hold commas"
COMPONENT = "a binary of the workspace; default: all"
JSON = "print the result as JSON on stdout"
TERMINATED = 143  # 128 + SIGTERM, as shells report it


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def settings_help(*keys: str) -> dict[str, str]:
    """Help texts of the flags that set these settings."""
    return {key.rpartition(".")[2]: help_text(key) for key in keys}


def command(body: Callable[..., int | None]) -> Callable[..., None]:
    """Turn the function of a command into a task: it gets a Console, its errors become one message and an exit code.

    Invoke would print a traceback for every exception but its own.
    """

    @functools.wraps(body)  # keeps Invoke's flags and help
    def enter(c: Any, **kwargs: Any) -> None:
        # Invoke switches bytecode files off; without them every start would compile our modules again.
        sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
        signal.signal(signal.SIGTERM, _terminate)
        console = Console(os.environ)
        code = report_errors(console, lambda: body(c, console, **kwargs), debug=debug_requested())
        if code:  # Exit(code=0) would end `inv a b` after a
            raise Exit(code=code)

    # Invoke passes its context alone; the console is added here.
    del enter.__wrapped__
    signature = inspect.signature(body)
    enter.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameter for name, parameter in signature.parameters.items() if name != "console"]
    )
    return enter


def report_errors(console: Console, work: Callable[[], int | None], *, debug: bool) -> int:
    """The exit code of `work`; every error is one message, unexpected ones too unless `debug` lets them through."""
    try:
        return work() or 0
    except Terminated:
        console.error(Interrupted("terminated"))
        return TERMINATED
    except KeyboardInterrupt:
        console.error(Interrupted("interrupted"))
        return Interrupted.code
    except BuildError as error:
        console.error(error)
        return error.code
    except BrokenPipeError:  # the reader has what it wanted: `main` handles it
        raise
    except Exception as error:
        if debug:
            raise
        foreseen = explain(error)
        console.error(foreseen)
        return foreseen.code


def debug_requested() -> bool:
    """Whether the command line asks for tracebacks; Invoke keeps its own --debug to itself."""
    return not {"--debug", "-d"}.isdisjoint(sys.argv[1 : sys.argv.index("--") if "--" in sys.argv else None])


def explain(error: Exception) -> BuildError:
    """An unexpected exception as an error of ours: what the operating system refused, or a bug."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return BuildError(f"{where}{error.strerror}", "run again with --debug for the traceback")
    text = " ".join(str(error).split())
    return InternalError(
        f"internal error: {type(error).__name__}{f': {text[:300]}' if text else ''}",
        "run again with --debug for the traceback",
    )


def _terminate(*_: Any) -> None:
    raise Terminated


def open_workspace(
    c: Any, console: Console, flags: Mapping[str, Any] | None = None, *, anywhere: bool = False
) -> Context:
    """The context of a command. While cargo and rustc are asked, the modules that show results are imported."""
    from concurrent.futures import ThreadPoolExecutor

    from buildlib.process.context import open_context

    with ThreadPoolExecutor(max_workers=1) as pool:
        opening = pool.submit(
            open_context, os.environ, Path.cwd(), flags or {}, console, dry=c.config.run.dry, anywhere=anywhere,
            command=join(sys.argv[1:]),
        )  # fmt: skip
        importlib.import_module("buildlib.report.tables")
        return opening.result()


def absolute(folder: str) -> str:
    """A path from the command line, relative to the current directory; "" stays "". Paths from files are relative to the workspace."""
    return str(Path(folder).expanduser().absolute()) if folder else ""


def extra_words() -> tuple[str, ...]:
    """The words behind `--`, each as it was given; Invoke joins them to one string."""
    return tuple(sys.argv[sys.argv.index("--") + 1 :]) if "--" in sys.argv else ()


def split(words: Iterable[str]) -> list[str]:
    """The values of an option that repeats and takes commas too."""
    return [part.strip() for word in words for part in word.split(",") if part.strip()]
