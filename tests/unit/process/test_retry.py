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
    """The last result of a call with these answers in order, the last one for ever; the reported failures; the number of calls."""
    reported, calls = [], iter(range(10**6))
    result = with_retries(
        lambda: answers[min(next(calls), len(answers) - 1)], lambda answer: answer, budget, attempts=attempts, delay=1.0,
        sleep=clock.sleep, on_failure=lambda *failure: reported.append(failure),
    )  # fmt: skip
    return result, reported, next(calls)


def test_a_transient_failure_costs_a_wait(clock):
    result, reported, calls = run([RESET, RESET, None], Budget(POLICY, clock), clock)
    assert (result, calls) == (None, 3)
    assert [(failure, attempt) for failure, attempt, _ in reported] == [(RESET, 1), (RESET, 2)]
    assert clock.now == sum(wait for _, _, wait in reported)


def test_any_other_failure_is_final(clock):
    assert run([DENIED], Budget(POLICY, clock), clock) == (DENIED, [(DENIED, 1, None)], 1)
    assert clock.now == 0


def test_an_expired_token_is_tried_once_more_without_a_wait(clock):
    expired = Failure("auth", "token expired", again=True)
    result, reported, calls = run([expired], Budget(POLICY, clock), clock)
    assert (result, reported, calls, clock.now) == (expired, [(expired, 1, 0.0), (expired, 2, None)], 2, 0)


def test_tries_are_limited(clock):
    result, reported, calls = run([RESET], Budget(POLICY, clock), clock, attempts=4)
    assert (result, calls, reported[-1]) == (RESET, 4, (RESET, 4, None))


def test_all_waits_of_a_command_share_one_budget(clock):
    budget = Budget(Retry(attempts=1000, delay=1.0, max_delay=30.0, total=100.0), clock)
    run([RESET], budget, clock, attempts=1000)
    assert 70 <= clock.now <= 100
    before = clock.now
    run([RESET], budget, clock, attempts=1000)
    assert before <= clock.now <= 100


def test_a_network_that_is_down_ends_the_command_early(clock):
    """No success for twice the longest wait, and most tries failed."""
    budget = Budget(Retry(attempts=10, delay=1.0, max_delay=30.0, total=1e9), clock)
    calls = [run([RESET], budget, clock)[2] for _ in range(10)]
    assert budget.down
    assert calls[-1] == 1 and sum(calls) < 100
    budget.record(success=True)
    assert not budget.down


def test_a_network_that_is_unreliable_is_not_down(clock):
    budget = Budget(Retry(attempts=10, delay=1.0, max_delay=30.0, total=1e9), clock)
    for _ in range(200):
        run([RESET, None], budget, clock)
        assert not budget.down


@pytest.mark.parametrize("attempt", range(1, 9))
def test_waits_have_full_jitter(attempt):
    """Waits fill the whole interval up to the doubled delay."""
    waits = []
    for _ in range(200):
        clock = Clock()
        _, reported, _ = run([RESET] * attempt + [None], Budget(POLICY, clock), clock)
        waits.append(reported[-1][2])
    longest = min(30.0, 2.0 ** (attempt - 1))
    assert all(0 <= wait <= longest for wait in waits)
    assert min(waits) < longest / 4 and max(waits) > longest * 3 / 4
