"""The lines of a log that state a failure, each with the rule that reads it. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import count, takewhile

from buildlib.failures.log import Line, Log
from buildlib.failures.noise import CANCELED, NOISE, RETRYING, WARNING, WRAPPER, nameless, unquoted
from buildlib.failures.rule import Rule, rules
from buildlib.failures.sections import TestOutput

MAX_LINES = 200  # lines with one phrase that are looked at, the last ones
MAX_EXAMINED = 1500  # lines with any phrase that rules read, the last ones: one takes up to a tenth of a millisecond
MAX_CAUSE = 1000  # characters of a cause; a linker's line has many thousands
MAX_MATCHED = 8000  # characters of a line that patterns see, at both ends: their time may grow with the square
NEAR = 40  # lines above and below a line that its rule may ask for; openssl-sys names the target not much nearer
PROCESS_FAILED = "did not complete successfully: exit code"
HEADLINE = re.compile(r"\[[^\]]*\]")  # [linux/arm64 builder 2/5]
COMMAND = re.compile(r'process ".*"(?= did not complete)', re.DOTALL)  # the command does not say how it ended
# Classes whose words also occur in names: of an image, a file, a crate.
WORDS = ("transient-network", "rate-limited", "resource", "certificate", "auth", "builder")


@dataclass(frozen=True, slots=True)
class Hit:
    """A line and the rule that matches it.

    `text` is the line without what other tools put before it, `groups` are those of the rule's patterns. `warning` means that
    the tool continued after the line, or that it is a detail: it may only be the cause of a later failure.
    """

    line: Line
    text: str
    rule: Rule
    groups: Mapping[str, str] = field(default_factory=dict)
    warning: bool = False

    @property
    def cause(self) -> str:
        """The text with what the rule found before and after it."""
        before = re.sub("^error: ", "", self.groups.get("before", ""), flags=re.IGNORECASE)
        text = f"{self.text} {self.groups['rest']}" if "rest" in self.groups else self.text
        parts = (before, text.removesuffix(":") if "after" in self.groups else text, self.groups.get("after", ""))
        return ": ".join(filter(None, parts))


class Hits:
    """The lines that a rule matches, the last first; only of the step that failed, where BuildKit names it.

    They are looked for while they are asked for: most logs are decided by their last lines.
    """

    def __init__(self, log: Log) -> None:
        self._known: list[Hit] = []
        self._others = _hits(log)

    def __iter__(self) -> Iterator[Hit]:
        for number in count():
            if number == len(self._known):
                following = next(self._others, None)
                if following is None:
                    return
                self._known.append(following)
            yield self._known[number]

    def above(self, hit: Hit, reach: int) -> list[Hit]:
        """Those above `hit`, at most `reach` lines, the nearest first."""
        until = takewhile(lambda other: other.line.index >= hit.line.index - reach, self)
        return [other for other in until if other.line.index < hit.line.index]


def _hits(log: Log) -> Iterator[Hit]:
    step, platform = _failed_step(log)
    tests = TestOutput(log)
    examined = 0
    for index, candidates in _candidates(log):
        line = log.line(index)
        if (step and line.step not in ("", step)) or NOISE.match(line.text):
            continue
        text = unquoted(line.text)
        if text != line.text and NOISE.match(text):
            continue
        matched = f"{platform} {COMMAND.sub('', text)}" if PROCESS_FAILED in text else shortened(text, MAX_MATCHED)
        if match := _first_match(_applicable(candidates, line, tests), matched, log, line):
            rule, groups = match
            yield Hit(line, text, rule, groups, rule.detail or _continued_after(log, line, text))
        examined += 1
        if examined == MAX_EXAMINED:
            return


def _applicable(candidates: list[Rule], line: Line, tests: TestOutput) -> list[Rule]:
    """Those that mean something in the output of a test, or in the last words of a program that started another one."""
    if tests.has(line.step, line.index):
        return [rule for rule in candidates if rule.kind == "test"]
    if WRAPPER.match(line.text):  # about the process that it started: exit code 137
        return [rule for rule in candidates if rule.kind == "resource"]
    return candidates


def _candidates(log: Log) -> Iterator[tuple[int, list[Rule]]]:
    """The lines with a phrase of a rule, the last first, each with those rules in their order."""
    found: Counter[str] = Counter()
    for window in log.windows:
        rules_by_line: dict[int, set[int]] = defaultdict(set)
        for phrase, numbers in _rules_by_phrase().items():
            for index in log.having(phrase, MAX_LINES - found[phrase], window):
                found[phrase] += 1
                rules_by_line[index] |= numbers
        for index in sorted(rules_by_line, reverse=True):
            yield index, [rules()[number] for number in sorted(rules_by_line[index])]


@cache
def _rules_by_phrase() -> dict[str, set[int]]:
    """The places in `rules` of those that have a phrase."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for number, rule in enumerate(rules()):
        for phrase in rule.phrases:
            numbers[phrase].add(number)
    return numbers


def _first_match(candidates: list[Rule], text: str, log: Log, line: Line) -> tuple[Rule, Mapping[str, str]] | None:
    lowered = text.lower()
    without_names = nameless(text)
    lowered_without = without_names.lower()
    above, below = partial(log.above, line, NEAR), partial(log.below, line, NEAR)
    for rule in candidates:
        named = rule.kind not in WORDS or without_names == text
        if any(phrase in lowered for phrase in rule.phrases):
            groups = rule.match(text, above, below)
            if groups is not None and (named or _states(rule, without_names, lowered_without)):
                return rule, groups
    return None


def _states(rule: Rule, text: str, lowered: str) -> bool:
    """Whether a line that a rule matches still does without the names in it."""
    return any(phrase in lowered for phrase in rule.phrases) and bool(rule.pattern is None or rule.pattern.search(text))


def _continued_after(log: Log, line: Line, text: str) -> bool:
    """Whether the tool continued after this line: it is a warning, or an error that a retry follows."""
    if WARNING.match(line.text) or WARNING.match(text):
        return True
    following = next((later for n in range(line.index + 1, min(line.index + 40, len(log)))
                      if (later := log.line(n)).step == line.step and later.text), None)  # fmt: skip
    return bool(following and RETRYING.match(following.text))


def _failed_step(log: Log) -> tuple[str, str]:
    """BuildKit's number of the step whose process failed last, and the start of its headline, which names the platform.

    "" and "" when the last error is not about a process.
    """
    lines = map(log.line, log.having("error: ", 20))
    errors = (line for line in lines if not WRAPPER.match(line.text) and not CANCELED.match(line.text))
    error = next((line for line in errors if line.text.startswith("ERROR: ")), None)
    if error is None or PROCESS_FAILED not in error.text:
        return "", ""
    for line in map(log.line, log.having(PROCESS_FAILED, MAX_LINES)):
        if line.step:
            names = (log.line(index).text for index in log.having(f"#{line.step} [", 20))
            return line.step, next((match[0] for match in map(HEADLINE.match, names) if match), "")
    return "", ""


def shortened(text: str, most: int = MAX_CAUSE) -> str:
    """The text, or the beginning and the end of a long one: a command line that failed is followed by the reason."""
    return text if len(text) <= most else f"{text[: most - most // 4]} … {text[-most // 4 :]}"
