"""Benches under emulation: the lines that list, check and count them, and what the numbers say. Instructions, never a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildlib.core.plan import Step
from buildlib.machine.host import Host

# A bench that knows this variable runs the body that its argument names so many times, and nothing else.
ITERATIONS = "BUILDLIB_ITERATIONS"
INSTRUCTION_LOG = Path(__file__).with_name("instruction_log.py")
# Iterations of the two runs whose difference is counted, and of those for bodies that are short: the more, the less a start that
# varies by some instructions weighs.
FEW, MANY = (2, 4), (16, 48)
SHORT = 2_000_000  # instructions of a run of FEW[0], start included, up to which a body is short
PLAIN = "plain"  # the path that others are compared with
LIMIT = 3600.0  # seconds for one run


def can_count(binary: Path) -> bool:
    """Whether a bench can be asked to run a body so many times: the variable's name is in it."""
    return ITERATIONS.encode() in binary.read_bytes()


def listing(words: tuple[str, ...], binary: Path, cwd: Path, rest: tuple[str, ...]) -> Step:
    """Asks a bench for the names of its bodies."""
    argv = (*words, str(binary), "--bench", "--list", "--format", "terse", *rest)
    return Step(title=f"benches of {binary.name}", argv=argv, cwd=cwd, stdout="keep", quiet=True, timeout=LIMIT)


def names(answer: str) -> tuple[str, ...]:
    """Criterion says `name: benchmark`, libtest `name: bench`."""
    return tuple(re.findall(r"^(.+): bench(?:mark)?$", answer, re.MULTILINE))


def check(words: tuple[str, ...], binary: Path, cwd: Path, rest: tuple[str, ...]) -> Step:
    """Runs every body once."""
    return Step(
        title=f"{binary.name}: each body once", argv=(*words, str(binary), "--test", *rest), cwd=cwd, timeout=LIMIT
    )


def measure(words: tuple[str, ...], binary: Path, cwd: Path, rest: tuple[str, ...]) -> Step:
    """Criterion itself, where time means something."""
    return Step(title=f"{binary.name}: criterion", argv=(*words, str(binary), "--bench", *rest), cwd=cwd)


def count(host: Host, words: tuple[str, ...], binary: Path, cwd: Path, name: str, iterations: int) -> Step:
    """Says how many instructions a run takes in which the body `name` runs so many times."""
    argv = (str(host.python), "-I", "-S", str(INSTRUCTION_LOG), *words, "--", str(binary), name)
    return Step(title=f"{name}, {iterations} times", argv=argv, env={ITERATIONS: str(iterations)}, cwd=cwd, stdout="keep",
                quiet=True, timeout=LIMIT)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One body on the plain path and on another: instructions per iteration."""

    name: str
    path: str
    plain: float
    other: float

    @property
    def times(self) -> float:
        """How many times fewer the other path takes."""
        return self.plain / self.other if self.other else 0.0


def rows(counted: Mapping[str, float]) -> tuple[Row, ...]:
    """Bodies that are called the same but for one part of their names, which is "plain" in one of them."""
    found = []
    for name, plain in counted.items():
        parts = name.split("/")
        if PLAIN not in parts:
            continue
        at = parts.index(PLAIN)
        for other, value in counted.items():
            theirs = other.split("/")
            if (
                other != name
                and len(theirs) == len(parts)
                and theirs[:at] + theirs[at + 1 :] == parts[:at] + parts[at + 1 :]
            ):
                found.append(
                    Row(name="/".join(parts[:at] + parts[at + 1 :]), path=theirs[at], plain=plain, other=value)
                )
    return tuple(found)


def grown(counted: Mapping[str, float], baseline: Mapping[str, float], limit: float) -> tuple[str, ...]:
    """What takes more than `limit` percent more than it did, a line each; what only one of both has is not compared."""
    names = (name for name in counted if baseline.get(name) and 100 * counted[name] > baseline[name] * (100 + limit))
    return tuple(
        f"{name}: {baseline[name]:.0f} to {counted[name]:.0f}, {100 * (counted[name] / baseline[name] - 1):+.1f} %"
        for name in names
    )
