"""Classify a failed command's output: the kind of failure, the line that shows it, and whether a retry helps.

Pure. rules/*.toml contains the messages of the tools. This module decides which lines of a log are not failures at all, which
step failed, and which line is the cause.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from buildlib.failures.log import Line, Log

# The files in rules/, in the order in which their rules are tried: the first rule that matches a line reads it.
RULE_FILES = (
    "resources.toml", "emulation.toml", "rate_limits.toml", "certificates.toml", "builder.toml", "credentials.toml", "uploads.toml",
    "not_found.toml", "usage.toml", "compile.toml", "test.toml", "network.toml", "downloads.toml",
)  # fmt: skip
REACH = 300  # lines: how far above its echo a cause is looked for; rustc and apt print it within these
MAX_LINES = 200  # lines with one phrase that are looked at, the last ones
CHUNK = 2_000_000  # characters: the end of a log decides; what is before it is read when the end does not decide
MAX_CAUSE = 1000  # characters of a cause; a linker's line has many thousands

# Not a tool's statement about its failure: rustc's excerpts, test names, command lines, BuildKit's headlines, echoes of a
# cancelled step.
NOISE = re.compile(
    r"""\s*(?:
        \d*\s*\|(?:\s|$) | -->\s | :::\s | \d+\s\|\s*>>>
      | test\s.*\s\.\.\.(?:\s|$) | ----\s.*\sstdout\s---- | (?:PASS|FAIL|SLOW|TIMEOUT|LEAK|ABORT|SIG\w+|FLAKY|TRY)\s.*\[\s*[\d.>]
      | (?:Compiling|Download(?:ed|ing)|Updating|Checking|Fresh|Finished|Running|Locking|Adding|Unpacking|Documenting|Fetch(?:ing|ed)
        |Replaced)\s
      | (?:Get|Hit):\d+\s | \++\s\S | \#\#\[(?:command|group|debug)\] | >\s*\[.*\]\s+(?:RUN|COPY|FROM|ADD)\b
      | \[[^\]]*\d+/\d+\]\s+(?:RUN|COPY|FROM|ADD|ENV|WORKDIR)\b | (?:INFO|DEBUG|TRACE|Step\s\d+/\d+)\b
      | (?:ERROR:\s*)?(?:failed\sto\s(?:solve|build):\s*)*(?:Canceled:\s*)?(?:failed\s.*:\s)?context\scanceled\s*$ | CANCELED\s*$
    )""",
    re.VERBOSE,
)
# Warnings: the tool continues after them. One may still be the reason for a later failure.
WARNING = re.compile(
    r"""\s*(?:\#\#\[warning\]|::warning|\[cross\]\ |npm\ )?(?:warn(?:ing)?\b|w:\s|ign:\d|err:\d|level=warning)
      | .*(?:level=warn|\bretrying\ (?:in|after|\()|\bretrying\.\.\.|\btries\ remaining|\bwill\ retry\b|\bretry\ attempt\b)""",
    re.IGNORECASE | re.VERBOSE,
)
ERROR = re.compile(r"(error|fatal|e: |panic|\[error\])", re.IGNORECASE)
RETRYING = re.compile(r"retrying in ", re.IGNORECASE)
PROCESS_FAILED = "did not complete successfully: exit code"
HEADLINE = re.compile(r"\[[^\]]*\]")  # [linux/arm64 builder 2/5]
COMMAND = re.compile(r'process ".*"(?= did not complete)', re.DOTALL)  # the command does not say how it ended
# After these messages a registry has accepted or sent something: a later refusal is not about missing credentials.
AUTHORIZED = ("pushing manifest for", ": pushed", "layer already exists", "mounted from", "pull complete")
TOKEN_EXPIRED = re.compile(
    r"\b401\b|unauthorized|authentication required|token (has |is )?expired|expired token", re.IGNORECASE
)
RETRIES_EXHAUSTED = "all tries are used up"  # written by the gateway about a request
WAIT = re.compile(
    r"(?:retry[- ]after|(?:re)?try again (?:in|after)|retry in)\s*[:=]?\s*\"?(\d+(?:\.\d+)?)\s*"
    r"(ms|milliseconds?|[µμu]s|ns|h(?:ours?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)?(?:\s*(\d+)\s*s)?\b",
    re.IGNORECASE,
)
SECONDS = {
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "": 1.0,
    "ms": 1e-3,
    "milli": 1e-3,
    "µs": 1e-6,
    "μs": 1e-6,
    "us": 1e-6,
    "ns": 1e-9,
}
MACHINE = ("resource", "emulation")
# What an exit code means when the output says nothing, by code and program ("" is any). SIGKILL (128 + 9) is how the kernel
# reclaims memory; docker run and clap have codes of their own for a daemon that failed and for a wrong argument.
EXIT_CODES = {(137, ""): "resource", (125, "docker"): "builder", (126, "docker"): "emulation", (2, "cross"): "usage"}


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as a log shows it.

    `kind` is the class, `cause` the line that shows it, `line` the number of that line, from 1. `wait` is how many seconds the
    other side asked for. `again` means that logging in again, once, may help, because the same command was authorized before.
    `spent` means that all retries that it deserves have been made already.
    """

    kind: str
    cause: str
    help: str = ""
    line: int | None = None
    wait: float | None = None
    again: bool = False
    spent: bool = False

    @property
    def transient(self) -> bool:
        """Whether the failure usually passes by itself."""
        return self.kind in ("transient-network", "rate-limited")

    @property
    def retry(self) -> bool:
        """Whether another try may help."""
        return (self.transient or self.again) and not self.spent


@dataclass(frozen=True, slots=True)
class Rule:
    """One [[rule]] of rules/*.toml.

    A rule matches a line that contains one of `phrases` (in lower case; the line's case does not matter), in which `pattern`
    finds something, if there is one, and `unless` finds nothing. `yields_to` names classes: an earlier line of one of them, in
    the same step, is the cause, and this line only repeats that something failed. `reason` in the files says where the messages
    come from.
    """

    kind: str
    phrases: tuple[str, ...]
    pattern: re.Pattern[str] | None
    unless: re.Pattern[str] | None
    yields_to: tuple[str, ...]
    help: str

    def matches(self, text: str) -> bool:
        """Whether `pattern` and `unless` allow this line, which contains one of the phrases."""
        if self.unless and self.unless.search(text):
            return False
        return self.pattern is None or bool(self.pattern.search(text))


@dataclass(frozen=True, slots=True)
class Hit:
    """A line and the rule that matches it. `warning` means that the tool continued after it."""

    line: Line
    rule: Rule
    warning: bool


def rule_tables() -> Iterator[dict[str, Any]]:
    """The tables of all rule files, in order."""
    for name in RULE_FILES:
        yield from tomllib.loads((Path(__file__).with_name("rules") / name).read_text(encoding="utf-8"))["rule"]


@cache
def rules() -> tuple[Rule, ...]:
    """All rules in order, read once."""
    return tuple(
        Rule(kind=table["class"], phrases=tuple(table["phrases"]), pattern=_pattern(table.get("pattern")),
             unless=_pattern(table.get("unless")), yields_to=tuple(table.get("yields_to", ())), help=table.get("help", ""))
        for table in rule_tables()
    )  # fmt: skip


def _pattern(text: str | list[str] | None) -> re.Pattern[str] | None:
    """Compile a pattern, which may be written as a list of parts."""
    return re.compile(text if isinstance(text, str) else "".join(text), re.IGNORECASE) if text else None


def classify(output: str, code: int = 1, tool: str = "") -> Failure:
    """The failure that `output` (stderr, or both streams) ends with; `unknown` when no rule matches, or `code` is 0.

    `code` is the exit code, 128 + n for signal n. `tool` is the name of the program, whose own exit codes may be known.
    """
    if code == 0:
        return Failure("unknown", "")
    start = max(0, len(output) - CHUNK)
    start = output.rfind("\n", 0, start) + 1 if start else 0
    failure = _classify(Log(output[start:]), output.count("\n", 0, start))
    if start and failure.kind == "unknown":
        failure = _classify(Log(output), 0)
    if failure.kind == "unknown" and (kind := EXIT_CODES.get((code, "")) or EXIT_CODES.get((code, tool))):
        return Failure(kind, failure.cause or f"exit code {code}", line=failure.line)
    return failure


def _classify(log: Log, lines_before: int) -> Failure:
    hits = _hits(log)
    last = next((hit for hit in hits if not hit.warning), None)
    if last is None:
        line = _last_error(log)
        return (
            Failure("unknown", line.text[:MAX_CAUSE], line=line.number + lines_before)
            if line
            else Failure("unknown", "")
        )
    hit = _cause(last, hits)
    again = hit.rule.kind == "auth" and bool(TOKEN_EXPIRED.search(hit.line.text)) and _was_authorized(log, hit.line)
    return Failure(
        hit.rule.kind, _shortened(hit.line.text), "log in again: the token has expired" if again else hit.rule.help,
        hit.line.number + lines_before, _wait(log, hit.line) if hit.rule.kind in ("rate-limited", "transient-network") else None,
        again, RETRIES_EXHAUSTED in hit.line.text,
    )  # fmt: skip


def _hits(log: Log) -> list[Hit]:
    """The lines that a rule matches, the last first; only of the step that failed, where BuildKit names it."""
    rules_by_line: dict[int, list[Rule]] = {}
    for rule in rules():
        for phrase in rule.phrases:
            for index in log.having(phrase, MAX_LINES):
                of_line = rules_by_line.setdefault(index, [])
                if not of_line or of_line[-1] is not rule:
                    of_line.append(rule)
    step, platform = _failed_step(log)
    hits = []
    for index in sorted(rules_by_line, reverse=True):
        line = log.line(index)
        if NOISE.match(line.text) or (step and line.step not in ("", step)):
            continue
        text = f"{platform} {COMMAND.sub('', line.text)}" if PROCESS_FAILED in line.text else line.text
        if match := _first_match(rules_by_line[index], text):
            hits.append(Hit(line, match, _continued_after(log, line)))
    return hits


def _first_match(candidates: list[Rule], text: str) -> Rule | None:
    lowered = text.lower()
    return next(
        (rule for rule in candidates if any(phrase in lowered for phrase in rule.phrases) and rule.matches(text)), None
    )


def _continued_after(log: Log, line: Line) -> bool:
    """Whether the tool continued after this line: it is a warning, or an error that a retry follows."""
    if WARNING.match(line.text):
        return True
    following = next((later for n in range(line.index + 1, min(line.index + 40, len(log)))
                      if (later := log.line(n)).step == line.step and later.text), None)  # fmt: skip
    return bool(following and RETRYING.match(following.text))


def _failed_step(log: Log) -> tuple[str, str]:
    """BuildKit's number of the step whose process failed last, and the start of its headline, which names the platform.

    "" and "" when the last error is not about a process.
    """
    error = next((line for line in map(log.line, log.having("error: ", 20)) if line.text.startswith("ERROR: ")), None)
    if error is None or PROCESS_FAILED not in error.text:
        return "", ""
    for line in map(log.line, log.having(PROCESS_FAILED, MAX_LINES)):
        if line.step:
            names = (log.line(index).text for index in log.having(f"#{line.step} [", 20))
            return line.step, next((match[0] for match in map(HEADLINE.match, names) if match), "")
    return "", ""


def _cause(hit: Hit, hits: list[Hit]) -> Hit:
    """The cause of which `hit` is an echo: the nearest line above of a class that it yields to, failures of this machine first."""
    while hit.rule.yields_to:
        above = [
            other for other in hits
            if hit.line.index - REACH <= other.line.index < hit.line.index and other.rule.kind in hit.rule.yields_to
        ]  # fmt: skip
        of_machine = [other for other in above if other.rule.kind in MACHINE]
        if not above:
            break
        hit = (of_machine or above)[0]
    return hit


def _was_authorized(log: Log, line: Line) -> bool:
    return any(index < line.index for phrase in AUTHORIZED for index in log.having(phrase, MAX_LINES))


def _wait(log: Log, line: Line) -> float | None:
    """Seconds that the other side asked for, in the line or within three lines of it; None without such a request."""
    nearby = range(max(0, line.index - 3), min(len(log), line.index + 4))
    for index in sorted(nearby, key=lambda n: abs(n - line.index)):
        if match := WAIT.search(log.line(index).text):
            unit = (match[2] or "").lower()
            factor = SECONDS.get(unit) or SECONDS.get(unit[:5]) or SECONDS[unit[:1]]
            return float(match[1]) * factor + float(match[3] or 0)
    return None


def _last_error(log: Log) -> Line | None:
    """The last line that calls itself an error, otherwise the last line."""
    lines = [line for line in log.backwards(MAX_LINES) if not NOISE.match(line.text) and not WARNING.match(line.text)]
    return next((line for line in lines if ERROR.match(line.text)), lines[0] if lines else None)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CAUSE else f"{text[:MAX_CAUSE]} …"
