"""How a command ends at Ctrl-C: who works or waits looks at a `Stop`, ends what it has started, and raises Interrupted.

Ctrl-C interrupts only the main thread, and an exception in the middle of anything may lose a process that was just started.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from buildlib.core.errors import Interrupted

PAUSE = 0.25  # seconds between two looks at it
GRACE = 2.0  # seconds after a second signal in which all steps are killed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler = Callable[[int, FrameType | None], Any]


class Stop:
    """Whether the command has to end, and since a second signal `forced`: at once.

    It has no lock, unlike threading.Event: a signal's handler, which runs wherever the main thread is, could wait for its own thread.
    """

    def __init__(self) -> None:
        self.forced = False
        self._is_set = self._is_deferring = False
        self._killed = math.inf  # when all steps have been killed

    def set(self) -> None:
        """Let the command end."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether the command has to end."""
        return self._is_set

    def check(self) -> None:
        """Interrupted if the command has to end."""
        if self._is_set:
            raise Interrupted("interrupted")

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until it is set. Whether it is."""
        end = time.monotonic() + seconds
        while not self._is_set and (left := end - time.monotonic()) > 0:
            time.sleep(min(PAUSE, left))
        return self._is_set

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Let a signal set this instead of interrupting the main thread. The first one is raised again at the end of the block.

        When steps have been killed after a second one, a third one does interrupt: then something else takes long.
        """
        if self._is_deferring or threading.current_thread() is not threading.main_thread():
            yield
            return
        received: list[int] = []
        handlers = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
        try:
            for number, handler in handlers.items():
                signal.signal(number, self._handler(handler, received))
            self._is_deferring = True
            yield
        finally:
            self._is_deferring = False
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if received:
                signal.raise_signal(received[0])

    def _handler(self, before: Handler, received: list[int]) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            now = time.monotonic()
            # Not deferring: a signal has interrupted the exchange of the handlers.
            if not self._is_deferring or now >= self._killed:
                before(number, frame)
                return
            received.append(number)
            if self._is_set and not self.forced:
                self.forced, self._killed = True, now + GRACE
            self._is_set = True

        return handle
