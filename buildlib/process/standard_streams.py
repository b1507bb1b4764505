"""Write to stdout and stderr, which may be closed, full, or read by nobody any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from buildlib.core.errors import BuildError


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
        help_text = "free some space, or redirect the output elsewhere"
        raise BuildError(f"stdout: {error.strerror or error}", help_text) from None


def discard(stream: TextIO) -> None:
    """Redirect a stream to /dev/null with what is still buffered, which Python could not write at its exit either (code 120)."""
    with suppress(OSError, ValueError):  # a replaced stream (in tests) may have no file descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
