"""Classify a failed command's output: the kind of failure, the line that shows it, and whether a retry helps.

Pure. rules/*.toml contains the messages of the tools. This module decides which lines of a log are not failures at all, which
step failed, and which line is the cause.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from buildlib.core.errors import BuildError, MissingRequirements, NetworkError
from buildlib.failures import process_output
from buildlib.failures.log import Line, Log
from buildlib.failures.noise import NOISE, RETRYING, WARNING, unquoted
from buildlib.failures.rule import Rule, rules

REACH = 300  # lines: how far above its echo a cause is looked for; rustc and apt print it within these
MAX_LINES = 200  # lines with one phrase that are looked at, the last ones
CHUNK = 2_000_000  # characters: the end of a log decides; what is before it is read when the end does not decide
MAX_CAUSE = 1000  # characters of a cause; a linker's line has many thousands
MAX_MATCHED = 8000  # characters of a line that patterns see, at both ends: their time may grow with the square
NEAR = 40  # lines above and below a line that its rule may ask for; openssl-sys names the target not much nearer
MAX_OUTPUT = 5000  # lines of a build script's output; cmake and make print thousands

PACKAGE = re.compile(r"build command for `([\w-]+) v([^\s`]+)")  # in cargo's headline
ERROR = re.compile(r"(error|fatal|e: |panic|\[error\])", re.IGNORECASE)
CAUSED_BY = re.compile(r"^(?:Caused by:\n(?:0: )?|\d+: )(.+)$", re.MULTILINE)
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
    `spent` means that all retries that it deserves have been made already. `fault` says who can fix it, as in `Rule`.
    """

    kind: str
    cause: str
    help: str = ""
    line: int | None = None
    wait: float | None = None
    again: bool = False
    spent: bool = False
    fault: str = ""

    @property
    def transient(self) -> bool:
        """Whether the failure usually passes by itself."""
        return self.kind in ("transient-network", "rate-limited")

    @property
    def retry(self) -> bool:
        """Whether another try may help."""
        return (self.transient or self.again) and not self.spent

    @property
    def error(self) -> type[BuildError]:
        """The error of a command that fails with it: credentials, certificates and the engine are this machine's."""
        if self.transient:
            return NetworkError
        return MissingRequirements if self.kind in ("auth", "builder") else BuildError


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
        if line := _last_error(log):
            return Failure("unknown", _with_reason(log, line), line=line.number + lines_before)
        return Failure("unknown", "")
    hit = _cause(log, last, hits)
    again = hit.rule.kind == "auth" and bool(TOKEN_EXPIRED.search(hit.line.text)) and _was_authorized(log, hit.line)
    return Failure(
        hit.rule.kind, _shortened(hit.cause),
        "log in again: the token has expired" if again else hit.rule.help_for(hit.groups), hit.line.number + lines_before,
        _wait(log, hit.line) if hit.rule.kind in ("rate-limited", "transient-network") else None, again,
        RETRIES_EXHAUSTED in hit.line.text, hit.rule.fault,
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
        text = unquoted(line.text)
        if NOISE.match(line.text) or NOISE.match(text) or (step and line.step not in ("", step)):
            continue
        matched = f"{platform} {COMMAND.sub('', text)}" if PROCESS_FAILED in text else _shortened(text, MAX_MATCHED)
        if match := _first_match(rules_by_line[index], matched, log, line):
            rule, groups = match
            hits.append(Hit(line, text, rule, groups, rule.detail or _continued_after(log, line, text)))
    return hits


def _first_match(candidates: list[Rule], text: str, log: Log, line: Line) -> tuple[Rule, Mapping[str, str]] | None:
    lowered = text.lower()
    above, below = partial(log.above, line, NEAR), partial(log.below, line, NEAR)
    for rule in candidates:
        if any(phrase in lowered for phrase in rule.phrases):
            groups = rule.match(text, above, below)
            if groups is not None:
                return rule, groups
    return None


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
    error = next((line for line in map(log.line, log.having("error: ", 20)) if line.text.startswith("ERROR: ")), None)
    if error is None or PROCESS_FAILED not in error.text:
        return "", ""
    for line in map(log.line, log.having(PROCESS_FAILED, MAX_LINES)):
        if line.step:
            names = (log.line(index).text for index in log.having(f"#{line.step} [", 20))
            return line.step, next((match[0] for match in map(HEADLINE.match, names) if match), "")
    return "", ""


def _cause(log: Log, hit: Hit, hits: list[Hit]) -> Hit:
    """The cause of which `hit` is an echo: the nearest line above of a class that it yields to, failures of this machine first."""
    while hit.rule.yields_to:
        if hit.rule.output_below and (stated := _of_process(log, hit, hits)):
            return _first_diagnostic(stated, hits)
        above = [other for other in _within_reach(hit, hits) if other.rule.kind in hit.rule.yields_to]
        if not above:
            break
        hit = _nearest(above)
    return _first_diagnostic(hit, hits)


def _within_reach(hit: Hit, hits: list[Hit]) -> list[Hit]:
    return [other for other in hits if hit.line.index - REACH <= other.line.index < hit.line.index]


def _nearest(above: list[Hit]) -> Hit:
    """A failure of the machine, otherwise the nearest line, or the one with a rule of its own to which it is a detail."""
    nearest = above[0]
    if nearest.rule.detail:
        near = [other for other in above if nearest.line.index - other.line.index <= NEAR and not other.rule.detail]
        nearest = next((other for other in near if other.rule.kind not in other.rule.yields_to), nearest)
    return next((other for other in above if other.rule.kind in MACHINE), nearest)


def _of_process(log: Log, hit: Hit, hits: list[Hit]) -> Hit | None:
    """The cause of a failed process, whose output is below `hit`: a panic, a build script's warnings, what it printed.

    cargo has shown the warnings above `hit`. Those with a rule come from the C compiler in most cases.
    """
    below = range(hit.line.index + 1, min(hit.line.index + MAX_OUTPUT, len(log)))
    printed = process_output.output(line for line in map(log.line, below) if line.step == hit.line.step)
    line = process_output.panic(printed)
    if line is None and (package := PACKAGE.search(hit.line.text)):
        prefix = f"warning: {package[1]}@{package[2]}: "
        if warnings := [other for other in _within_reach(hit, hits) if other.line.text.startswith(prefix)]:
            return _nearest(warnings)
    line = line or process_output.statement(printed)
    rule = Rule(hit.rule.kind, (), fault=hit.rule.fault, help=hit.rule.help)
    groups = {name: value for name, value in hit.groups.items() if name != "after"}  # that belongs to the headline
    return Hit(line, unquoted(_with_reason(log, line)), rule, groups) if line else None


def _first_diagnostic(hit: Hit, hits: list[Hit]) -> Hit:
    """The first of a compiler's messages about one crate or file: those after it may follow from it."""
    first = hit
    for other in _within_reach(hit, hits) if hit.rule.diagnostic else ():
        if other.rule.diagnostic:
            first = other
        elif not other.warning:
            break
    return first


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


def _with_reason(log: Log, line: Line) -> str:
    """The line, with the last reason of the list `Caused by:` that cargo and Rust's anyhow print below it."""
    below = log.below(line, NEAR)
    reasons = CAUSED_BY.findall(below.partition("\nStack backtrace")[0]) if below.startswith("Caused by:\n") else []
    return _shortened(f"{line.text}: {reasons[-1]}" if reasons else line.text)


def _shortened(text: str, most: int = MAX_CAUSE) -> str:
    """The text, or the beginning and the end of a long one: a command line that failed is followed by the reason."""
    return text if len(text) <= most else f"{text[: most - most // 4]} … {text[-most // 4 :]}"
