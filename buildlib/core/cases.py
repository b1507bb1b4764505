"""Results of tests: cases in suites, from a test harness or from the checks of an image."""

from __future__ import annotations

from dataclasses import dataclass

# A case's results, in libtest's words; the last two are the test runner's.
PASSED, FAILED, IGNORED, TIMED_OUT, CRASHED = "passed", "failed", "ignored", "timed out", "crashed"
HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test, or one check of an image. `detail` is a test's output if it did not pass, or what a check saw."""

    name: str
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The tests of one binary, all doc tests, or the checks of one image.

    `broken` is the emulator's last line if a crash of the emulator ended the run; `recovered` is that line if only the first run
    crashed and the second one finished. `ran_on` is HOST for what cargo compiles for the host. `stderr` is the end of what a binary
    with failed tests printed there, which may be from programs that they started.
    """

    name: str
    cases: tuple[Case, ...]
    seconds: float = 0.0
    broken: str = ""
    recovered: str = ""
    ran_on: str = ""
    stderr: str = ""

    def count(self, *results: str) -> int:
        """How many cases have one of these results."""
        return sum(case.result in results for case in self.cases)
