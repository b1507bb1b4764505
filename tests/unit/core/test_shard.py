"""Every arch is in exactly one part, whatever the times are, and all machines compute the same division."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.core.errors import UsageError
from buildlib.core.shard import Shard, divide, parse
from buildlib.core.targets import TARGETS

NAMES = st.lists(st.sampled_from(sorted(TARGETS)), unique=True, max_size=18)
TIMES = st.dictionaries(st.sampled_from(sorted(TARGETS)), st.floats(min_value=1e-9, max_value=1e6))
COUNTS = st.integers(min_value=1, max_value=40)


@given(NAMES, COUNTS, TIMES)
def test_every_arch_is_in_exactly_one_part(names, count, times):
    parts = divide(names, count, times)
    assert len(parts) == count
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert all(list(part) == [name for name in names if name in part] for part in parts)
    # No part is empty while another one has two.
    assert max(map(len, parts)) <= 1 or all(parts)


@given(NAMES, COUNTS, TIMES)
def test_the_longest_part_is_within_the_bound_of_the_greedy_division(names, count, times):
    known = [times[name] for name in names if name in times]
    weights = {name: times.get(name, sum(known) / len(known) if known else 1.0) for name in names}
    loads = [sum(weights[name] for name in part) for part in divide(names, count, times)]
    longest = max(weights.values(), default=0.0)
    # No division is better than the mean, or than the longest arch; greedy adds at most one arch to a part that had the least.
    assert max(loads) <= sum(weights.values()) / count + longest * (1 - 1 / count) + 1e-6 * max(loads)


@given(NAMES, COUNTS, TIMES, st.randoms(use_true_random=False))
def test_the_order_of_the_times_and_times_of_other_arches_change_nothing(names, count, times, rng: random.Random):
    items = [(name, seconds) for name, seconds in times.items() if name in names]
    rng.shuffle(items)
    assert divide(names, count, dict(items)) == divide(names, count, times)


@given(NAMES, TIMES)
def test_with_a_part_for_each_arch_they_have_the_same_order(names, times):
    assert divide(names, max(len(names), 1), times) == (tuple((name,) for name in names) or ((),))


@given(NAMES, COUNTS, TIMES)
def test_parts_are_numbered_by_their_first_arch_and_empty_ones_are_last(names, count, times):
    firsts = [names.index(part[0]) if part else len(names) for part in divide(names, count, times)]
    assert firsts == sorted(firsts)


def test_the_longest_arch_is_alone_where_that_is_best():
    times = {"amd64": 10.0, "arm64": 30.0, "armv7": 10.0, "riscv64": 10.0}
    assert divide(list(times), 2, times) == (("amd64", "armv7", "riscv64"), ("arm64",))


def test_an_arch_without_a_time_takes_as_long_as_the_others_on_average():
    assert divide(["amd64", "arm64", "armv7"], 2, {"amd64": 1.0, "arm64": 9.0}) == (("amd64", "armv7"), ("arm64",))


@pytest.mark.parametrize(("text", "shard"), [("1/1", Shard(1, 1)), ("2/5", Shard(2, 5)), ("999/999", Shard(999, 999))])
def test_a_part_is_written_as_number_and_count(text, shard):
    assert (parse(text), str(shard)) == (shard, text)


WRONG = [
    "",
    "0/5",
    "6/5",
    "1/0",
    "0/0",
    "-1/5",
    "1",
    "1/",
    "/5",
    "1/5/1",
    " 1/5",
    "1/5\n",
    "a/b",
    "1.0/5",
    "٢/٥",
    "1/1000",
    "1000/1000",
]


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_a_usage_error(text):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert (caught.value.message, caught.value.help) == (
        f"--shard expects NUMBER/COUNT, got {text!r}", "for example 2/5, the second of five; at most 999",
    )  # fmt: skip
