"""A failed command's output -> what kind of failure it was, the line that says so, and whether a retry helps.

Pure. How tools word their failures stands in failures.toml; here is how a log is read: what in it is no failure at all, which
step it is that failed, and which line in it decides.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from buildlib.failures.log import Line, Log

REACH = 300  # lines: how far above its echo a cause is looked for; rustc and apt say it within these
MOST = 200  # lines with one phrase that are looked at, the last ones
CHUNK = 2_000_000  # characters: the end of a log decides; what is before it is read when it does not
LONGEST = 1000  # characters of a cause; a linker's line has many thousands

# No statements of a tool about its failure: rustc's excerpts, test names, command lines, BuildKit's headlines, echoes of a
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
# On its way: a tool that says so goes on. What it says may still be the reason for what it fails of later.
ON_ITS_WAY = re.compile(
    r"""\s*(?:\#\#\[warning\]|::warning|\[cross\]\ |npm\ )?(?:warn(?:ing)?\b|w:\s|ign:\d|err:\d|level=warning)
      | .*(?:level=warn|\bretrying\ (?:in|after|\()|\bretrying\.\.\.|\btries\ remaining|\bwill\ retry\b|\bretry\ attempt\b)""",
    re.IGNORECASE | re.VERBOSE,
)
COMPLAINT = re.compile(r"(error|fatal|e: |panic|\[error\])", re.IGNORECASE)
RETRYING = re.compile(r"retrying in ", re.IGNORECASE)
PROCESS = "did not complete successfully: exit code"
HEADLINE = re.compile(r"\[[^\]]*\]")  # [linux/arm64 builder 2/5]
COMMAND = re.compile(r'process ".*"(?= did not complete)', re.DOTALL)  # the command is no statement about how it went
# Behind these a registry has taken or given something: who is refused then was let in before.
LET_IN = ("pushing manifest for", ": pushed", "layer already exists", "mounted from", "pull complete")
RUN_OUT = re.compile(
    r"\b401\b|unauthorized|authentication required|token (has |is )?expired|expired token", re.IGNORECASE
)
RETRIES_EXHAUSTED = "all tries are used up"  # the gateway says so of a request
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


@dataclass(frozen=True, slots=True)
class Failure:
    """`kind` is DESIGN's class, `cause` the line that shows it, `line` its number, from 1. `wait` is how many seconds the other
    side asked for. `again`: logging in again, once, may help, for the same run was let in before. `spent`: all tries that it
    deserves were made already."""

    kind: str
    cause: str
    help: str = ""
    line: int | None = None
    wait: float | None = None
    again: bool = False
    spent: bool = False

    @property
    def transient(self) -> bool:
        return self.kind in ("transient-network", "rate-limited")

    @property
    def retry(self) -> bool:
        return (self.transient or self.again) and not self.spent


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of failures.toml."""

    kind: str
    phrases: tuple[str, ...]
    pattern: re.Pattern[str] | None
    unless: re.Pattern[str] | None
    yields_to: tuple[str, ...]
    help: str

    def holds(self, text: str) -> bool:
        found = self.pattern is None or self.pattern.search(text)
        return bool(found) and not (self.unless and self.unless.search(text))


@dataclass(frozen=True, slots=True)
class Hit:
    """A line and the rule that reads it. `warning`: the tool went on after it."""

    line: Line
    rule: Rule
    warning: bool


@cache
def rules() -> tuple[Rule, ...]:
    """failures.toml, read once."""
    rows = tomllib.loads(Path(__file__).with_name("failures.toml").read_text(encoding="utf-8"))["rule"]
    return tuple(
        Rule(kind=row["class"], phrases=tuple(row["phrases"]), pattern=_pattern(row.get("pattern")),
             unless=_pattern(row.get("unless")), yields_to=tuple(row.get("yields_to", ())), help=row.get("cure", ""))
        for row in rows
    )  # fmt: skip


def _pattern(told: str | list[str] | None) -> re.Pattern[str] | None:
    """A pattern may be written in several lines."""
    return re.compile(told if isinstance(told, str) else "".join(told), re.IGNORECASE) if told else None


def classify(output: str, code: int = 1, tool: str = "") -> Failure:
    """The failure that `output` (stderr, or both streams) ends with; `unknown` when no rule reads it, or `code` is 0.

    `code` is the exit code, 128 + n for signal n. `tool` is the program's name: what docker's own codes mean is known.
    """
    if code == 0:
        return Failure("unknown", "")
    start = max(0, len(output) - CHUNK)
    start = output.rfind("\n", 0, start) + 1 if start else 0
    failure = _classify(Log(output[start:]), output.count("\n", 0, start))
    if start and failure.kind == "unknown":
        failure = _classify(Log(output), 0)
    if failure.kind == "unknown" and (told := _by_code(code, tool)):
        return Failure(told, failure.cause or f"exit code {code}", line=failure.line)
    return failure


def _by_code(code: int, tool: str) -> str:
    """What an exit code says where the words say nothing: SIGKILL is the kernel's way to get memory back; clap, cobra and
    docker run have codes for a wrong word and for an engine that cannot."""
    meanings = {(137, ""): "resource", (125, "docker"): "builder", (126, "docker"): "emulation", (2, "cross"): "usage"}
    return meanings.get((code, "")) or meanings.get((code, tool), "")


def _classify(log: Log, before: int) -> Failure:
    hits = _hits(log)
    last = next((hit for hit in hits if not hit.warning), None)
    if last is None:
        line = _complaint(log)
        return Failure("unknown", line.text[:LONGEST], line=line.number + before) if line else Failure("unknown", "")
    hit = _cause(last, hits)
    again = hit.rule.kind == "auth" and bool(RUN_OUT.search(hit.line.text)) and _was_let_in(log, hit.line)
    return Failure(
        hit.rule.kind, _shortened(hit.line.text), "log in again: the token ran out" if again else hit.rule.help,
        hit.line.number + before, _wait(log, hit.line) if hit.rule.kind in ("rate-limited", "transient-network") else None, again,
        RETRIES_EXHAUSTED in hit.line.text,
    )  # fmt: skip


def _hits(log: Log) -> list[Hit]:
    """Lines that a rule reads, the last first; of the step that failed, where BuildKit says which."""
    read: dict[int, list[Rule]] = {}
    for rule in rules():
        for phrase in rule.phrases:
            for index in log.having(phrase, MOST):
                found = read.setdefault(index, [])
                if not found or found[-1] is not rule:
                    found.append(rule)
    step, platform = _failed_step(log)
    hits = []
    for index in sorted(read, reverse=True):
        line = log.line(index)
        if NOISE.match(line.text) or (step and line.step not in ("", step)):
            continue
        text = f"{platform} {COMMAND.sub('', line.text)}" if PROCESS in line.text else line.text
        low = text.lower()
        rule = next(
            (rule for rule in read[index] if any(phrase in low for phrase in rule.phrases) and rule.holds(text)), None
        )
        if rule:
            hits.append(Hit(line, rule, _went_on(log, line)))
    return hits


def _went_on(log: Log, line: Line) -> bool:
    """Whether the tool says that it does not fail of this: a warning, or an error that it tries again after."""
    if ON_ITS_WAY.match(line.text):
        return True
    after = next((later for n in range(line.index + 1, min(line.index + 40, len(log)))
                  if (later := log.line(n)).step == line.step and later.text), None)  # fmt: skip
    return bool(after and RETRYING.match(after.text))


def _failed_step(log: Log) -> tuple[str, str]:
    """BuildKit's number for the step whose process failed last, and what its headline begins with; "" and "" when the last error is
    another."""
    ended = next((line for line in map(log.line, log.having("error: ", 20)) if line.text.startswith("ERROR: ")), None)
    if ended is None or PROCESS not in ended.text:
        return "", ""
    for line in map(log.line, log.having(PROCESS, MOST)):
        if line.step:
            named = (log.line(index).text for index in log.having(f"#{line.step} [", 20))
            return line.step, next((found[0] for found in map(HEADLINE.match, named) if found), "")
    return "", ""


def _cause(hit: Hit, hits: list[Hit]) -> Hit:
    """What `hit` is an echo of: the nearest line above it of a class that it yields to, the machine's own failures first."""
    while hit.rule.yields_to:
        above = [
            other for other in hits
            if hit.line.index - REACH <= other.line.index < hit.line.index and other.rule.kind in hit.rule.yields_to
        ]  # fmt: skip
        machine = [other for other in above if other.rule.kind in MACHINE]
        if not above:
            break
        hit = (machine or above)[0]
    return hit


def _was_let_in(log: Log, line: Line) -> bool:
    return any(index < line.index for phrase in LET_IN for index in log.having(phrase, MOST))


def _wait(log: Log, line: Line) -> float | None:
    """Seconds that the other side asked for, in the line or just around it."""
    for index in sorted(
        range(max(0, line.index - 3), min(len(log), line.index + 4)), key=lambda n: abs(n - line.index)
    ):
        found = WAIT.search(log.line(index).text)
        if found:
            unit = (found[2] or "").lower()
            factor = SECONDS.get(unit) or SECONDS.get(unit[:5]) or SECONDS[unit[:1]]
            return float(found[1]) * factor + float(found[3] or 0)
    return None


def _complaint(log: Log) -> Line | None:
    """The last line that calls itself an error, else the last one."""
    lines = [line for line in log.backwards(MOST) if not NOISE.match(line.text) and not ON_ITS_WAY.match(line.text)]
    return next((line for line in lines if COMPLAINT.match(line.text)), lines[0] if lines else None)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
