"""A program that runs beside the steps of a command, and ends with them."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from buildlib.core.stopping import Stop
from buildlib.process.children import end_all

PAUSE = 0.01  # seconds between two looks whether it is ready


@contextmanager
def background(
    argv: tuple[str, ...], env: Mapping[str, str], until: Callable[[], bool], seconds: float
) -> Iterator[str | None]:
    """Start a program and wait until it is ready; give None, or else what it has printed. It is ended at the end.

    `until` says whether it is ready. It is ended at once if it is not after so many seconds. OSError if it cannot be started.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            argv, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )
        try:
            if _is_ready(process, until, seconds):
                yield None
            else:
                _end(process)
                output.seek(0)
                yield output.read().decode(errors="replace")
        finally:
            _end(process)


def _is_ready(process: subprocess.Popen[bytes], until: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not until():
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(PAUSE)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program, whatever signals come meanwhile."""
    stop = Stop()
    with stop.signals():
        end_all(process, stop)
