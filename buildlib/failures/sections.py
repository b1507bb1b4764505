"""Which lines of a log are the output of a test. Pure.

A test may print anything: expected errors of the network, of QEMU, of a compiler. Only what the runner says about it counts.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict

from buildlib.failures.log import Log
from buildlib.failures.noise import WRAPPER

MOST = 2000  # boundaries of one kind that are looked at, the last ones
# libtest (rust-lang/rust library/test/src/formatters/pretty.rs), nextest (reporter/displayer/imp.rs), Go's testing, pytest, Jest;
# below them unittest, Vitest, Mocha, RSpec, Surefire, Gradle, GoogleTest, CTest, bats, PHPUnit, ExUnit (rules/test_runners.toml).
# Rust names the thread of a test after it, and a test within a module has a path: a::b.
BEGIN = re.compile(
    r"""running\s\d+\stests?$ | test\s.+\s\.\.\.(?:\s|$) | ----\s.+\s(?:stdout|stderr)\s---- | failures:$
      | thread\s'[^']*::[^']*'(?:\s\(\d+\))?\spanicked\sat\s | Test\sexecutable\sfailed
      | (?:PASS|FAIL|ABORT|TIMEOUT|LEAK|FLAKY|SIG[A-Z]+|TRY\s\d+\s\w+)\s+\[\s*[\d.>] | ---\sSTD(?:OUT|ERR):\s | (?:stdout|stderr)\s───
      | ---\sFAIL:\s | ===\s(?:RUN|CONT)\s | \w+_test\.go:\d+:\s | =+\s(?:FAILURES|ERRORS)\s=+$ | _{3,}\s\S.*\s_{3,}$ | ●\s\S
      | (?:FAIL|ERROR):\s\w+\s\([\w.]+\)$ | (?:FAIL|PASS)\s+\S+\.(?:test|spec)\.\w+ | ⎯+\sFailed\s(?:Tests|Suites)\s
      | \d+\sfailing$ | Failures:$ | \[?(?:INFO\]\s)?Running\s[\w.]+(?:Test|Tests|IT|Spec)$ | .*<<<\s(?:FAILURE|ERROR)S?!
      | [\w.$]+\s>\s.+\sFAILED$ | \[\sRUN\s+\]\s | \d+/\d+\sTest\s+\#\d+:\s.*\*\*\* | not\sok\s\d+\s
      | There\s(?:was|were)\s\d+\s(?:failure|error)s?:$ | 1\)\s\S.*:$
      | \d+\)\s(?:test\s.+\s\([\w.]+\)|Failure:|Error:)$""",
    re.VERBOSE,
)
END = re.compile(
    r"""test\sresult:\s | error:\s(?:test|doctest|bench)\sfailed | error:\s\d+\stargets?\sfailed | error:\stest\srun\sfailed
      | error:\sUnrecognized\soption | Summary\s\[ | (?:FAIL|ok)\s*\t | FAIL$ | =+\s.*\b(?:summary|failed|passed)\b | Test\sSuites:\s
      | ERROR:\s(?!\w+\s\([\w.]+\)$) | (?:Compiling|Finished|Doc-tests|Starting)\s
      | error:\s(?:could\snot\scompile|failed\sto\srun\scustom)
      | Running\s(?![\w.]+(?:Test|Tests|IT|Spec)$) | Tests\srun:(?!.*<<<) | Ran\s\d+\stests?\sin\s | FAILED\s\((?:failures|errors)=
      | Test\sFiles\s | Tests:\s | \d+\s(?:examples?|tests?),\s\d+\sfailures? | \d+\sruns,\s\d+\sassertions
      | BUILD\s(?:FAILURE|FAILED)$ | FAILURE:\sBuild\s | \d+\stests?\scompleted, | >\sTask\s: | \d+%\stests\spassed
      | \[\s+(?:OK|FAILED|PASSED|SKIPPED)\s+\]\s
      | ok\s\d+\s | FAILURES!$ | ERRORS!$ | Failed!\s""",
    re.VERBOSE,
)
PHRASES = (
    "running ", "test ", "---- ", "failures:", "panicked at", "test executable", "fail [", "pass [", "abort [", "timeout [",
    "leak [", "flaky [", "sig", "try ", "stdout", "stderr", "--- fail: ", "=== run", "=== cont", "= failures", "= errors", "● ",
    "_test.go:", "___ ", "fail: test", "error: test", ".test.", ".spec.", "⎯ failed ", " failing", "<<< failure", "<<< error", " > ",
    "[ run  ", ".***", "not ok ", "there was ", "there were ", ") test ", ") failure:", ") error:", "1) ",
)  # fmt: skip
ENDS = (
    "test result:", "failed, to rerun", "targets failed", "target failed", "test run failed", "unrecognized option", "summary",
    "fail\t", "fail", "ok", "failed in", "passed in", "test suites:", "error: ", "compiling ", "finished ", "doc-tests ",
    "starting ", "make", "exit", "recipe", "running ", "tests run:", "tests in ", "test in ", "failed (", "test files", "tests: ",
    "failure", "assertions", "build failed", "tests completed,", "test completed,", "> task :", "passed", "skipped", "errors!",
    "failed!",
)  # fmt: skip


class TestOutput:
    """The lines between what begins the output of tests and what ends it, by BuildKit's step."""

    __test__ = False  # not a class of pytest's

    def __init__(self, log: Log) -> None:
        self._log = log
        self._marks: dict[range, dict[str, list[tuple[int, bool]]]] = {}

    def has(self, step: str, index: int) -> bool:
        """Whether the line at `index`, of this step, is a test's output: the last mark above it, or on it, begins one."""
        for window in self._log.windows:
            if window.start <= index and (marks := self._of(window).get(step)):
                position = bisect_right(marks, (index, True)) - 1
                if position >= 0:
                    return marks[position][1]
        return False

    def _of(self, window: range) -> dict[str, list[tuple[int, bool]]]:
        """The marks in a window by step, in order: the index of the line, and whether it begins the output of tests."""
        if window not in self._marks:
            begins = self._matching(window, PHRASES, BEGIN)
            ends = self._matching(window, ENDS, END) | self._matching(window, ENDS, WRAPPER)
            marks: dict[str, list[tuple[int, bool]]] = defaultdict(list)
            for step, index in sorted(begins | ends):
                marks[step].append((index, (step, index) not in ends))
            self._marks[window] = marks
        return self._marks[window]

    def _matching(self, window: range, phrases: tuple[str, ...], pattern: re.Pattern[str]) -> set[tuple[str, int]]:
        lines = {index for phrase in phrases for index in self._log.having(phrase, MOST, window)}
        return {(line.step, line.index) for line in map(self._log.line, lines) if pattern.match(line.text)}
