"""Divide the arches of a command among several machines, so that each gets a part of about the same length. Pure.

Every machine computes the whole division from the same inputs: the arches in their order, the number of parts, and the times of
`ci.times`, which are in the commit or in a variable that all get from one job. What a machine itself has measured is not an
input: five machines with five histories would divide differently, and an arch would be built twice or not at all. (Model:
pytest-split, whose durations are a file in the repository.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from buildlib.core.errors import UsageError

MAX_SHARDS = 999
Parts = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """One part of several: `number` is from 1 to `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse(text: str) -> Shard:
    """The shard that a text such as "2/5" names. UsageError for any other text."""
    match = re.fullmatch(r"([0-9]{1,3})/([0-9]{1,3})", text)
    shard = Shard(*map(int, match.groups())) if match else Shard(0, 0)
    if not 1 <= shard.number <= shard.count:
        message = f"--shard expects NUMBER/COUNT, got {text!r}"
        raise UsageError(message, f"for example 2/5, the second of five; at most {MAX_SHARDS}")
    return shard


def divide(names: Sequence[str], count: int, times: Mapping[str, float]) -> Parts:
    """The names, each in exactly one of `count` parts. `times` are in seconds; a name without one counts as the mean of the others.

    The longest first, each to the part that has least so far (Graham 1969: at most 4/3 of the best division). Parts are numbered by
    their first name, and the names in each have the order of `names`: with as many parts as names, part i is the i-th name whatever
    the times are. Parts without a name are at the end.
    """
    known = [times[name] for name in names if name in times]
    default = sum(known) / len(known) if known else 1.0
    weights = [times.get(name, default) for name in names]
    parts: list[list[int]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for position in sorted(range(len(names)), key=lambda one: (-weights[one], one)):
        # Ties go to the part with fewer names, so that times of zero do not put all names into one.
        least = min(range(count), key=lambda part: (loads[part], len(parts[part]), part))
        parts[least].append(position)
        loads[least] += weights[position]
    ordered = sorted((sorted(part) for part in parts), key=lambda part: part or [len(names)])
    return tuple(tuple(names[position] for position in part) for part in ordered)
