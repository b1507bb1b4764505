"""Work that is done again and again while something else runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(work: Callable[[], bool], seconds: float) -> Iterator[None]:
    """Call `work` in a thread of its own every so many seconds, until it returns False or the block ends."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds) and work():
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
