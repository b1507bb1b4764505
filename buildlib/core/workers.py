"""Threads for the parts of a command that run at once; they end with the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from buildlib.core.errors import BuildError
from buildlib.core.stopping import PAUSE, Stop

Result = TypeVar("Result")


@contextmanager
def workers(stop: Stop, number: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads. At an error of the block, what has not begun does not begin, and an unexpected one ends the command."""
    with stop.signals(), ThreadPoolExecutor(max_workers=number) as pool:
        try:
            yield pool
        except BaseException as error:
            if not isinstance(error, BuildError):  # which the next arch may not have
                stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def results(check: Callable[[], object], futures: Sequence[Future[Result]]) -> list[Result]:
    """What the work of threads returns, or the error of the first that fails. Meanwhile `check` may raise: `Stop.check`."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, PAUSE, FIRST_EXCEPTION)
        check()
        for future in done:
            future.result()
    return [future.result() for future in futures]
