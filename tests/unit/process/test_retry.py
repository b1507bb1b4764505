import pytest

from buildlib.core.settings import Retry
from buildlib.failures.classify import Failure
from buildlib.process.retry import Budget, with_retries

POLICY = Retry(attempts=10, delay=1.0, max_delay=30.0, total=600.0)
RESET, DENIED = Failure("transient-network", "connection reset"), Failure("auth", "denied")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def run(answers, budget, clock, attempts=10):
    """What became of answers in order, the last one for ever; and what was told."""
    told, calls = [], iter(range(10**6))
    answer = with_retries(lambda: answers[min(next(calls), len(answers) - 1)], lambda answer: answer, budget, attempts=attempts,
                   delay=1.0, sleep=clock.sleep, tell=lambda *words: told.append(words))  # fmt: skip
    return answer, told, next(calls)


def test_a_passing_fault_costs_a_pause(clock):
    answer, told, calls = run([RESET, RESET, None], Budget(POLICY, clock), clock)
    assert (answer, calls) == (None, 3)
    assert [(failure, attempt) for failure, attempt, _ in told] == [(RESET, 1), (RESET, 2)]
    assert clock.now == sum(wait for _, _, wait in told)


def test_a_real_one_stops_at_once(clock):
    assert run([DENIED], Budget(POLICY, clock), clock) == (DENIED, [(DENIED, 1, None)], 1)
    assert clock.now == 0


def test_tries_are_limited(clock):
    answer, told, calls = run([RESET], Budget(POLICY, clock), clock, attempts=4)
    assert (answer, calls, told[-1]) == (RESET, 4, (RESET, 4, None))


def test_all_waits_of_a_run_are_in_one_budget(clock):
    budget = Budget(Retry(attempts=1000, delay=1.0, max_delay=30.0, total=100.0), clock)
    run([RESET], budget, clock, attempts=1000)
    assert 70 <= clock.now <= 100
    before = clock.now
    run([RESET], budget, clock, attempts=1000)
    assert before <= clock.now <= 100


def test_a_network_that_is_down_ends_the_run_early(clock):
    """Two of the longest waits without one success, and most tries failed."""
    budget = Budget(Retry(attempts=10, delay=1.0, max_delay=30.0, total=1e9), clock)
    calls = [run([RESET], budget, clock)[2] for _ in range(10)]
    assert budget.down
    assert calls[-1] == 1 and sum(calls) < 100
    budget.went(True)
    assert not budget.down


def test_a_network_that_is_bad_is_not_down(clock):
    budget = Budget(Retry(attempts=10, delay=1.0, max_delay=30.0, total=1e9), clock)
    for _ in range(200):
        run([RESET, None], budget, clock)
        assert not budget.down


@pytest.mark.parametrize("attempt", range(1, 9))
def test_jitter_is_full(attempt):
    """Waits fill the whole interval up to the doubled delay."""
    waits = []
    for _ in range(200):
        clock = Clock()
        _, told, _ = run([RESET] * attempt + [None], Budget(POLICY, clock), clock)
        waits.append(told[-1][2])
    most = min(30.0, 2.0 ** (attempt - 1))
    assert all(0 <= wait <= most for wait in waits)
    assert min(waits) < most / 4 and max(waits) > most * 3 / 4
