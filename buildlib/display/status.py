"""Shows what is running: lines below all others on a terminal, one line every half minute elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TextIO

from buildlib.core.repeated import repeated
from buildlib.display import terminal
from buildlib.display.progress import Progress, line

INTERVAL = 30.0  # seconds between two lines about a step, without a terminal
TICK = 0.25
LINES = 4  # of several steps that run at once, on a terminal


class Status:
    """The steps that are running. `stream` is the terminal, None without one; `note` prints a line; `clock` counts seconds.

    Whoever prints to the terminal holds `printing` meanwhile. Nothing is drawn but by `tick`: a line that was removed for that comes
    back with the next one.
    """

    def __init__(
        self, stream: TextIO | None, note: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream, self.note, self.clock = stream, note, clock
        self._running: dict[int, Progress] = {}
        self._shown: dict[int, float] = {}  # when the last line about a step was printed
        self._drawn: list[str] = []  # what is on the terminal
        self._lock = threading.RLock()

    @contextmanager
    def printing(self) -> Iterator[None]:
        """Remove the lines from the terminal, and let nobody else print."""
        with self._lock:
            self._draw([])
            yield

    @contextmanager
    def showing(self, progress: Progress) -> Iterator[None]:
        """Show a step until the end of the block."""
        with self._lock:
            self._running[id(progress)] = progress
            self._shown[id(progress)] = self.clock()
        try:
            yield
        finally:
            with self._lock:
                del self._running[id(progress)], self._shown[id(progress)]
                self._draw([])

    def ticking(self) -> AbstractContextManager[None]:
        """Call `tick` until the end of the block, for work that cannot do it itself."""

        def work() -> bool:
            with suppress(BrokenPipeError):  # whoever prints next gets it too, and ends the command
                self.tick()
                return True
            return False

        return repeated(work, TICK)

    def tick(self) -> None:
        """Show how far everything is, if it is time to."""
        with self._lock:
            now = self.clock()
            if self.stream:
                self._draw(self._lines(self.stream, now))
                return
            for key, progress in self._running.items():
                if now - self._shown[key] >= INTERVAL:
                    self._shown[key] = now
                    self.note(line(progress, now))

    def _lines(self, stream: TextIO, now: float) -> list[str]:
        width = terminal.width(stream) - 1  # in the last column a terminal may break the line
        running = [progress for progress in self._running.values() if now - progress.started >= progress.delay]
        lines = [line(progress, now, width) for progress in running[:LINES]]
        return [*lines, f"and {len(running) - LINES} more"] if len(running) > LINES else lines

    def _draw(self, lines: list[str]) -> None:
        """Replace the lines on the terminal. One write, so that nothing flickers; the cursor stays visible."""
        if not self.stream or lines == self._drawn:
            return
        up = f"\x1b[{len(self._drawn) - 1}A" if len(self._drawn) > 1 else ""
        before = f"\r{up}\x1b[J" if self._drawn else ""
        self._drawn = lines
        with suppress(OSError):  # a terminal that has gone must not end the command
            self.stream.write(before + "\n".join(lines))
            self.stream.flush()
