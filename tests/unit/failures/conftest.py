"""Measurements for the tests of running time."""

import time

import pytest

SIZES = ((4_000, 32_000), (16_000, 128_000))  # characters
LIMIT = 24  # how many times as long the larger text may take: in linear time it is 8, in quadratic time 64
ROUNDS = 5


@pytest.fixture
def assert_linear():
    """Fail if the time of `function` grows clearly faster than the length of the text, which repeats `unit`.

    It measures CPU time and not the clock, takes the fastest of three runs, and is content with one good round of five: a busy
    machine cannot fail it.
    """

    def check(function, unit):
        for sizes in SIZES:
            small, large = ((unit * (size // len(unit) + 1))[:size] for size in sizes)
            ratios = []
            while not ratios or ratios[-1] > LIMIT:
                assert len(ratios) < ROUNDS, f"8 times the text takes {ratios} times as long"
                ratios.append(_fastest(function, large) / max(_fastest(function, small), 1e-6))

    return check


def _fastest(function, text):
    times = []
    for _ in range(3):
        began = time.process_time()
        function(text)
        times.append(time.process_time() - began)
    return min(times)
