"""When a transient failure is tried again: one policy for steps and requests, one budget for a whole command.

Waits have full jitter: each is drawn from the whole interval, which spreads clients best (measured in "Exponential Backoff And
Jitter", AWS Architecture Blog). If the other side says when to come back, the next try is made then.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from buildlib.core.settings import Retry
from buildlib.failures.classify import Failure

if TYPE_CHECKING:
    from tenacity import RetryCallState

Result = TypeVar("Result")
Attempt = tuple[Result, Failure | None]  # the result of a try, and its failure
# A failure, the number of the try from 1, and the seconds before the next try; None: there is no next one.
OnFailure = Callable[[Failure, int, float | None], None]


class Budget:
    """How long one command may wait in all, for its steps and requests together. Threads share it."""

    def __init__(self, policy: Retry, clock: Callable[[], float] = time.monotonic) -> None:
        self.policy = policy
        self.waited = 0.0  # seconds
        self._clock, self._lock = clock, threading.Lock()
        # A failure takes one, a success gives two back: it is empty when more than two of three tries fail.
        self._capacity = self._left = 2 * policy.attempts
        self._last_success = clock()

    def record(self, *, success: bool) -> None:
        """Count a try that has ended."""
        with self._lock:
            self._left = min(self._capacity, self._left + 2) if success else max(0, self._left - 1)
            if success:
                self._last_success = self._clock()

    @property
    def down(self) -> bool:
        """Whether the network is down: most tries fail, and none succeeded for twice the longest wait."""
        return self._left == 0 and self._clock() - self._last_success >= 2 * self.policy.max_delay

    def take(self, seconds: float) -> bool:
        """Take a wait from the budget. False, and nothing is taken, if it exceeds what is left or the network is down."""
        with self._lock:
            if self.down or self.waited + seconds > self.policy.total:
                return False
            self.waited += seconds
            return True


def with_retries(
    once: Callable[[], Result], failure_of: Callable[[Result], Failure | None], budget: Budget, *,
    attempts: int, delay: float, sleep: Callable[[float], object], on_failure: OnFailure,
) -> Result:  # fmt: skip
    """Call `once` until it succeeds, its failure is not transient, or tries or budget are used up; return its last result.

    Transient failures are tried `attempts` times in all; an expired token is tried once more, immediately. `delay` is the upper
    bound of the first wait in seconds; it doubles with each wait.
    """

    def attempt() -> Attempt[Result]:
        result = once()
        failure = failure_of(result)
        if attempts > 1:  # a step with a single try does not use the network
            budget.record(success=failure is None or not failure.transient)
        return result, failure

    first = attempt()
    if first[1] is None:
        return first[0]
    return _retry(first, attempt, budget, attempts, delay, sleep, on_failure)


def _retry(
    first: Attempt[Result],
    attempt: Callable[[], Attempt[Result]],
    budget: Budget,
    attempts: int,
    delay: float,
    sleep: Callable[[float], object],
    on_failure: OnFailure,
) -> Result:
    """Continue after a first try that failed; return the last result."""
    # Imported late: most first tries succeed, and tenacity's import takes 20 ms, which every start would pay.
    from tenacity import Retrying, wait_random_exponential

    jitter = wait_random_exponential(multiplier=delay, max=budget.policy.max_delay)
    ready = [first]
    renewed = False  # whether an expired token has been replaced already

    def again(state: RetryCallState) -> bool:
        failure = _failure(state)
        worthwhile = failure is not None and failure.retry and not (failure.again and renewed)
        if failure and not worthwhile:
            on_failure(failure, state.attempt_number, None)
        return worthwhile

    def wait(state: RetryCallState) -> float:
        failure = _failure(state)
        if failure is None or failure.again:
            return 0.0
        # Not before the other side's time, and not all clients at the same moment.
        return jitter(state) if failure.wait is None else failure.wait + random.uniform(0, delay)

    def stop(state: RetryCallState) -> bool:
        nonlocal renewed
        failure = _failure(state)
        renewed = renewed or (failure is not None and failure.again)
        over = state.attempt_number >= attempts or not budget.take(state.upcoming_sleep)
        if failure is not None:
            on_failure(failure, state.attempt_number, None if over else state.upcoming_sleep)
        return over

    def pause(seconds: float) -> None:
        sleep(seconds)

    retrying = Retrying(retry=again, wait=wait, stop=stop, sleep=pause, retry_error_callback=_attempt)
    result, _ = retrying(lambda: ready.pop() if ready else attempt())
    return result


def _attempt(state: RetryCallState) -> Attempt[Any]:
    """The try that has just ended."""
    assert state.outcome is not None, "tenacity asks only after a try"
    attempt: Attempt[Any] = state.outcome.result()
    return attempt


def _failure(state: RetryCallState) -> Failure | None:
    return _attempt(state)[1]
