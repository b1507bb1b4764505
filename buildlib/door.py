"""What every command enters by: errors become a message and an exit code, flags become settings."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

from invoke import Exit

from buildlib.console import Console
from buildlib.errors import BuildError, Interrupted

if TYPE_CHECKING:
    from buildlib.context import Context


ARCH = "amd64, arm64, armv7, ...; all, native; may be repeated or hold commas"
JSON = "the result as JSON on stdout"


def door(body: Callable[..., int | None]) -> Callable[..., None]:
    """Errors become one message and an exit code; Invoke would print a traceback for any that is not its own."""

    @functools.wraps(body)  # keeps Invoke's flags and help
    def enter(c: Any, **kwargs: Any) -> None:
        # Invoke switches bytecode files off; without them every start would compile our modules anew.
        sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
        signal.signal(signal.SIGTERM, _interrupt)
        console = Console(os.environ)
        try:
            code = body(c, console, **kwargs)
        except KeyboardInterrupt:
            console.explain(Interrupted("interrupted"))
            code = Interrupted.code
        except BuildError as error:
            console.explain(error)
            code = error.code
        if code:  # Exit(code=0) would end `inv a b` after a
            raise Exit(code=code)

    # Invoke hands over the context alone; the console is the door's.
    del enter.__wrapped__
    enter.__signature__ = _without_console(body)  # type: ignore[attr-defined]
    return enter


def _without_console(body: Callable[..., Any]):
    import inspect

    signature = inspect.signature(body)
    return signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "console"])


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def look_around(c: Any, console: Console, flags: Mapping[str, Any] | None = None, *, anywhere: bool = False) -> Context:
    """The context. It waits for cargo and rustc most of the time; meanwhile the flows are imported."""
    from concurrent.futures import ThreadPoolExecutor

    from buildlib.context import enter

    with ThreadPoolExecutor(max_workers=1) as pool:
        dry = c.config.run.dry
        entering = pool.submit(enter, os.environ, Path.cwd(), flags or {}, console, dry=dry, anywhere=anywhere,
                               command=join(sys.argv[1:]))  # fmt: skip
        importlib.import_module("buildlib.report")
        return entering.result()


def here(folder: str) -> str:
    """A folder from the command line is seen from where the person stands, one from a file from the workspace."""
    return str(Path(folder).expanduser().absolute()) if folder else ""


def rest() -> tuple[str, ...]:
    """The words behind `--`, each as it was said; Invoke keeps them in one string."""
    return tuple(sys.argv[sys.argv.index("--") + 1 :]) if "--" in sys.argv else ()


def split(words: list[str]) -> list[str]:
    """Words of options that repeat and take commas too."""
    return [part.strip() for word in words for part in word.split(",") if part.strip()]
