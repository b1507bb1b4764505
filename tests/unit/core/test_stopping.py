"""The end of a command: signals that wait for the end of a block, and threads that end with it."""

import signal
import threading
import time
from concurrent.futures import Future

import pytest

from buildlib.core import stopping
from buildlib.core.errors import BuildError, Interrupted
from buildlib.core.stopping import Stop
from buildlib.core.workers import results, workers

TIMEOUT = 20.0  # seconds; nothing waits that long unless a test fails


@pytest.fixture(autouse=True)
def _handlers():
    """In the background a shell ignores SIGINT."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_waits_for_the_end_of_the_block():
    """Of a few Ctrl-C in the first half second, one left the import lock taken, and the command hung."""
    steps, stop = [], Stop()
    with pytest.raises(KeyboardInterrupt), stop.signals():
        signal.raise_signal(signal.SIGINT)
        steps.append((stop.is_set(), stop.forced))
        signal.raise_signal(signal.SIGINT)
        steps.append((stop.is_set(), stop.forced))
    assert (steps, signal.getsignal(signal.SIGINT)) == ([(True, False), (True, True)], signal.default_int_handler)
    with Stop().signals():
        steps.append("nothing came")


def test_a_third_signal_interrupts_what_is_no_step(monkeypatch):
    monkeypatch.setattr(stopping, "GRACE", 0.0)
    steps, stop = [], Stop()
    with pytest.raises(KeyboardInterrupt), stop.signals():
        for number in range(3):
            steps.append(number)
            signal.raise_signal(signal.SIGINT)
        steps.append("not reached")
    assert (steps, signal.getsignal(signal.SIGINT)) == ([0, 1, 2], signal.default_int_handler)


def test_the_first_signal_says_how_the_command_ends():
    class Terminated(Exception):
        pass

    def terminate(*_):
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    with pytest.raises(Terminated), Stop().signals():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)


def test_a_block_in_a_block_and_one_in_another_thread_change_nothing():
    stop, handlers = Stop(), []

    def other():
        with Stop().signals():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
    with pytest.raises(KeyboardInterrupt), stop.signals():
        with stop.signals():
            signal.raise_signal(signal.SIGINT)
        assert (stop.is_set(), stop.forced) == (True, False)


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = Stop()
    with stop.signals():
        signal.raise_signal(signal.SIGINT)
    assert not stop.is_set()


def test_a_wait_ends_with_the_command():
    stop = Stop()
    assert not stop.wait(0.01)
    stop.check()
    stop.set()
    assert stop.wait(TIMEOUT)
    with pytest.raises(Interrupted):
        stop.check()


def test_work_returns_its_results_in_their_order():
    stop = Stop()
    with workers(stop, 2) as pool:
        assert results(stop.check, [pool.submit(int, str(number)) for number in range(5)]) == list(range(5))
    assert not stop.is_set()


def until_cancelled(futures):
    """Work that ends when the last one was cancelled."""
    end = time.monotonic() + TIMEOUT
    while not futures or not futures[-1].cancelled():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(("error", "ends"), [(KeyError("bug"), True), (BuildError("of one arch"), False)])
def test_at_an_error_nothing_else_begins(error, ends):
    stop, futures = Stop(), []

    def fail():
        raise error

    with pytest.raises(type(error)), workers(stop, 1) as pool:
        futures += [pool.submit(work) for work in (fail, lambda: until_cancelled(futures), fail)]
        results(stop.check, futures[:1])
    assert (futures[-1].cancelled(), stop.is_set()) == (True, ends)


def test_ctrl_c_does_not_wait_for_what_has_not_begun():
    stop, futures = Stop(), []
    with pytest.raises(KeyboardInterrupt), workers(stop, 1) as pool:
        futures += [pool.submit(until_cancelled, futures) for _ in range(3)]
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        results(stop.check, futures)
    assert [future.cancelled() for future in futures] == [False, True, True]


def test_a_stop_by_another_thread_ends_the_wait():
    stop = Stop()
    stop.set()
    with pytest.raises(Interrupted):
        results(stop.check, [Future()])
