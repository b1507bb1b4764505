"""When a passing fault is tried again: one policy for steps and for requests, one budget for a whole run.

Full jitter, as AWS's architecture blog measured it: waits that are drawn from the whole interval spread clients best. Who is told
when to come back comes back then.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from buildlib.core.settings import Retry
from buildlib.failures.classify import Failure

Result = TypeVar("Result")
Attempt = tuple[Any, Failure | None]  # what a try came to, and what it failed of
# What a try failed of, which try it was, and the seconds before the next; None: there is none.
OnFailure = Callable[[Failure, int, float | None], None]


class Budget:
    """What a run may wait, all of its steps and requests together. Threads share it."""

    def __init__(self, policy: Retry, clock: Callable[[], float] = time.monotonic) -> None:
        self.policy = policy
        self.waited = 0.0
        self._clock, self._lock = clock, threading.Lock()
        # A failure takes one, a success gives two back: it runs empty when more than two of three tries fail.
        self._most = self._left = 2 * policy.attempts
        self._well = clock()

    def went(self, well: bool) -> None:
        """One more try has ended."""
        with self._lock:
            self._left = min(self._most, self._left + 2) if well else max(0, self._left - 1)
            if well:
                self._well = self._clock()

    @property
    def down(self) -> bool:
        """Whether the network is: most tries fail, and for two of the longest waits none has gone well."""
        return self._left == 0 and self._clock() - self._well >= 2 * self.policy.max_delay

    def take(self, seconds: float) -> bool:
        """Whether so long a wait is still within what all waits together may take; it is counted then."""
        with self._lock:
            if self.down or self.waited + seconds > self.policy.total:
                return False
            self.waited += seconds
            return True


def with_retries(
    once: Callable[[], Result], failure_of: Callable[[Result], Failure | None], budget: Budget, *,
    attempts: int, delay: float, sleep: Callable[[float], object], tell: OnFailure,
) -> Result:  # fmt: skip
    """What `once` returns, at the last of as many tries as its failures deserve and the budget allows.

    Transient ones are tried again, `attempts` times in all; a token that ran out once, at once. `delay` in seconds is the first
    wait's upper bound, doubled for each that follows.
    """

    def attempt() -> Attempt:
        result = once()
        failure = failure_of(result)
        if attempts > 1:  # what has one try is nothing of the network's
            budget.went(failure is None or not failure.transient)
        return result, failure

    first = attempt()
    if first[1] is None:
        return first[0]
    return _more(first, attempt, budget, attempts, delay, sleep, tell)


def _more(
    first: Attempt,
    attempt: Callable[[], Attempt],
    budget: Budget,
    attempts: int,
    delay: float,
    sleep: Callable[[float], object],
    tell: OnFailure,
) -> Any:
    """What the first try that failed came to in the end."""
    # Imported only now: most first tries go well, and tenacity takes 20 ms, which every start would pay.
    from tenacity import RetryCallState, Retrying, wait_random_exponential

    jitter = wait_random_exponential(multiplier=delay, max=budget.policy.max_delay)
    made = [first]
    renewed = False

    def again(state: RetryCallState) -> bool:
        _, failure = state.outcome.result()
        worth = failure is not None and failure.retry and not (failure.again and renewed)
        if failure and not worth:
            tell(failure, state.attempt_number, None)
        return worth

    def wait(state: RetryCallState) -> float:
        _, failure = state.outcome.result()
        if failure.again:
            return 0.0
        # Who was told when to come back does not come before that, nor all at the same moment.
        return jitter(state) if failure.wait is None else failure.wait + random.uniform(0, delay)

    def stop(state: RetryCallState) -> bool:
        nonlocal renewed
        _, failure = state.outcome.result()
        renewed = renewed or failure.again
        over = state.attempt_number >= attempts or not budget.take(state.upcoming_sleep)
        tell(failure, state.attempt_number, None if over else state.upcoming_sleep)
        return over

    def last(state: RetryCallState) -> Attempt:
        return state.outcome.result()

    retrying = Retrying(retry=again, wait=wait, stop=stop, sleep=sleep, retry_error_callback=last)
    result, _ = retrying(lambda: made.pop() if made else attempt())
    return result
