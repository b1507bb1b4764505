"""Benchmarks under emulation: the steps that list, check and count their bodies, and comparisons of the counts.

Under emulation a time means nothing, so instructions are counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildlib.core.plan import Step
from buildlib.machine.host import Host

# A benchmark that reads this variable runs the body that its argument names this many times, and nothing else.
ITERATIONS = "BUILDLIB_ITERATIONS"
INSTRUCTION_LOG = Path(__file__).with_name("instruction_log.py")
# Iterations of the two runs whose difference is counted, and of those for short bodies: the more iterations, the less weight has
# the start, which varies by some instructions.
FEW, MANY = (2, 4), (16, 48)
SHORT = 2_000_000  # instructions of a run of FEW[0], start included, up to which a body is short
PLAIN = "plain"  # the path that others are compared with
LIMIT = 3600.0  # seconds for one run


def can_count(binary: Path) -> bool:
    """Whether a benchmark reads ITERATIONS: the variable's name is in the binary."""
    return ITERATIONS.encode() in binary.read_bytes()


def listing(words: tuple[str, ...], binary: Path, cwd: Path, rest: tuple[str, ...]) -> Step:
    """List the names of a benchmark's bodies."""
    argv = (*words, str(binary), "--bench", "--list", "--format", "terse", *rest)
    return Step(title=f"benches of {binary.name}", argv=argv, cwd=cwd, stdout="keep", quiet=True, timeout=LIMIT)


def names(listed: str) -> tuple[str, ...]:
    """The names in the output of `listing`: criterion prints `name: benchmark`, libtest `name: bench`."""
    return tuple(re.findall(r"^(.+): bench(?:mark)?$", listed, re.MULTILINE))


def check(words: tuple[str, ...], binary: Path, cwd: Path, rest: tuple[str, ...]) -> Step:
    """Run every body once."""
    return Step(
        title=f"{binary.name}: each body once", argv=(*words, str(binary), "--test", *rest), cwd=cwd, timeout=LIMIT
    )


def measure(words: tuple[str, ...], binary: Path, cwd: Path, rest: tuple[str, ...]) -> Step:
    """Run criterion, which measures times."""
    return Step(title=f"{binary.name}: criterion", argv=(*words, str(binary), "--bench", *rest), cwd=cwd)


def count(host: Host, words: tuple[str, ...], binary: Path, cwd: Path, name: str, iterations: int) -> Step:
    """Print how many instructions a run takes in which the body `name` runs this many times."""
    argv = (str(host.python), "-I", "-S", str(INSTRUCTION_LOG), *words, "--", str(binary), name)
    return Step(title=f"{name}, {iterations} times", argv=argv, env={ITERATIONS: str(iterations)}, cwd=cwd, stdout="keep",
                quiet=True, timeout=LIMIT)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One body on the plain path and on another one: instructions per iteration."""

    name: str
    path: str
    plain: float
    other: float

    @property
    def times(self) -> float:
        """How many times fewer instructions the other path takes."""
        return self.plain / self.other if self.other else 0.0


def rows(counted: Mapping[str, float]) -> tuple[Row, ...]:
    """Pairs of bodies whose names differ in one part only, which is "plain" in one of them."""
    pairs = []
    for name, plain in counted.items():
        parts = name.split("/")
        if PLAIN not in parts:
            continue
        at = parts.index(PLAIN)
        common = parts[:at] + parts[at + 1 :]
        for other, value in counted.items():
            other_parts = other.split("/")
            same = len(other_parts) == len(parts) and other_parts[:at] + other_parts[at + 1 :] == common
            if same and other != name:
                pairs.append(Row(name="/".join(common), path=other_parts[at], plain=plain, other=value))
    return tuple(pairs)


def grown(counted: Mapping[str, float], baseline: Mapping[str, float], limit: float) -> tuple[str, ...]:
    """A line for each body that takes over `limit` percent more instructions than in the baseline.

    A body that only one of the two has is not compared.
    """
    exceeded = (name for name in counted if baseline.get(name) and 100 * counted[name] > baseline[name] * (100 + limit))
    return tuple(
        f"{name}: {baseline[name]:.0f} to {counted[name]:.0f}, {100 * (counted[name] / baseline[name] - 1):+.1f} %"
        for name in exceeded
    )
