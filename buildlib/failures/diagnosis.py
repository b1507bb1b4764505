"""Find in a failed command's output the kind of failure, the line that shows it, and whether a retry helps.

Pure. rules/*.toml contains the messages of the tools. This module decides which lines of a log are not failures at all, which step
failed, and which line is the cause.
"""

from __future__ import annotations

import re
from itertools import islice

from buildlib.failures import process_output
from buildlib.failures.classify import RETRIES_EXHAUSTED, Failure
from buildlib.failures.hits import MAX_LINES, NEAR, Hit, Hits, shortened
from buildlib.failures.log import Line, Log
from buildlib.failures.noise import CANCELED, HEADLINE, NOISE, SUCCESS, WARNING, WRAPPER, unquoted
from buildlib.failures.rule import Rule

REACH = 300  # lines: how far above its echo a cause is looked for; rustc and apt print it within these
CHUNK = 2_000_000  # characters: the end of a log decides; what is before it is read when the end does not decide
MAX_OUTPUT = 5000  # lines of a build script's output; cmake and make print thousands

PACKAGE = re.compile(r"build command for `([\w-]+) v([^\s`]+)")  # in cargo's headline
ERROR = re.compile(r"(error|fatal|e: |panic|\[error\]|target \S+: failed to solve: )", re.IGNORECASE)
CAUSED_BY = re.compile(r"^(?:Caused by:\n(?:0: )?|\d+: )(.+)$", re.MULTILINE)
# After these messages a registry has accepted or sent something: a later refusal is not about missing credentials.
AUTHORIZED = ("pushing manifest for", ": pushed", "layer already exists", "mounted from", "pull complete")
TOKEN_EXPIRED = re.compile(
    r"\b401\b|unauthorized|authentication required|token (has |is )?expired|expired token", re.IGNORECASE
)
WAIT = re.compile(
    r"(?:retry[- ]after|(?:re)?try again (?:in|after)|(?<!will )retry in)\s*[:=]?\s*\"?(\d+(?:\.\d+)?)\s*"
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
# What a tool that tries again warns about; after its last warning a log has at most so many lines.
ENDLESS = ("transient-network", "rate-limited", "resource", "certificate", "auth", "builder")
TAIL = 15
# What an exit code means when the output says nothing, by code and program ("" is any). SIGKILL (128 + 9) is how the kernel
# reclaims memory; docker run and clap have codes of their own for a daemon that failed and for a wrong argument.
EXIT_CODES = {(137, ""): "resource", (125, "docker"): "builder", (126, "docker"): "emulation", (2, "cross"): "usage"}


def diagnose(output: str, code: int, tool: str) -> Failure:
    """The failure that `output` ends with, as of `classify`; `code` is not 0."""
    start = max(0, len(output) - CHUNK)
    start = output.rfind("\n", 0, start) + 1 if start else 0
    failure = _of_log(Log(output[start:]), output.count("\n", 0, start))
    if start and failure.kind == "unknown":
        failure = _of_log(Log(output), 0)
    if failure.kind == "unknown" and (kind := EXIT_CODES.get((code, "")) or EXIT_CODES.get((code, tool))):
        return Failure(kind, failure.cause or f"exit code {code}", line=failure.line)
    return failure


def _of_log(log: Log, lines_before: int) -> Failure:
    hits = Hits(log)
    last = next((hit for hit in hits if not hit.warning), None) or _unfinished(log, hits)
    if last is None:
        if line := _last_error(log):
            return Failure("unknown", _with_reason(log, line), line=line.number + lines_before)
        return Failure("unknown", "")
    hit = _cause(log, last, hits)
    again = hit.rule.kind == "auth" and bool(TOKEN_EXPIRED.search(hit.line.text)) and _was_authorized(log, hit.line)
    return Failure(
        hit.rule.kind, shortened(hit.cause),
        "log in again: the token has expired" if again else hit.rule.help_for(hit.groups), hit.line.number + lines_before,
        _wait(log, hit.line) if hit.rule.kind in ("rate-limited", "transient-network") else None, again,
        RETRIES_EXHAUSTED in hit.line.text, hit.rule.fault,
    )  # fmt: skip


def _unfinished(log: Log, hits: Hits) -> Hit | None:
    """The last warning of a log that ends while a tool still tries again; None if the tool succeeded after it."""
    # What a C compiler printed is an error, although cargo shows it as a warning.
    quoted = ((hit, hit.rule.kind == "compile" and not WARNING.match(hit.text)) for hit in hits if not hit.rule.detail)
    last = next((hit for hit, is_error in quoted if is_error or hit.rule.kind in ENDLESS), None)
    if last is None:
        return None
    end = min(len(log), last.line.index + 4 * TAIL)
    after = [line.text for line in map(log.line, range(last.line.index + 1, end)) if line.text]
    said_more = "Caused by:" in after or any(
        SUCCESS.match(text) or (ERROR.match(text) and not _states_nothing(text)) for text in after
    )
    if end < len(log) or len(after) > TAIL or said_more:
        return None
    return last


def _states_nothing(text: str) -> bool:
    """Whether a line only says that something ended: a program that was started, the job from outside, or a step with it."""
    return any(pattern.match(text) for pattern in (WRAPPER, CANCELED, NOISE, HEADLINE))


def _cause(log: Log, hit: Hit, hits: Hits) -> Hit:
    """The cause of which `hit` is an echo: the nearest line above of a class that it yields to, failures of this machine first."""
    while hit.rule.yields_to:
        if hit.rule.output_below and (stated := _of_process(log, hit, hits)):
            return _first_diagnostic(stated, hits)
        recovered = _last_success(log, hit)
        above = [other for other in hits.above(hit, REACH) if other.rule.kind in hit.rule.yields_to
                 and (other.rule.detail or not other.warning or other.line.index > recovered)]  # fmt: skip
        if not above:
            break
        hit = _nearest(above)
    return _first_diagnostic(hit, hits)


def _last_success(log: Log, hit: Hit) -> int:
    """The index of the last line above that shows that a tool went on; what was warned about before it has passed. -1: none."""
    above = range(hit.line.index - 1, max(-1, hit.line.index - REACH - 1), -1)
    lines = (line for line in map(log.line, above) if line.step == hit.line.step)
    return next((line.index for line in lines if SUCCESS.match(line.text) and not line.text.startswith("Reading")), -1)


def _nearest(above: list[Hit]) -> Hit:
    """A failure of the machine, otherwise the nearest line, or the one with a rule of its own to which it is a detail."""
    nearest = above[0]
    if nearest.rule.detail:
        near = [other for other in above if nearest.line.index - other.line.index <= NEAR and not other.rule.detail]
        nearest = next((other for other in near if other.rule.kind not in other.rule.yields_to), nearest)
    return next((other for other in above if other.rule.kind in MACHINE), nearest)


def _of_process(log: Log, hit: Hit, hits: Hits) -> Hit | None:
    """The cause of a failed process, whose output is below `hit`: a panic, a build script's warnings, what it printed.

    cargo has shown the warnings above `hit`. Those with a rule come from the C compiler in most cases.
    """
    below = range(hit.line.index + 1, min(hit.line.index + MAX_OUTPUT, len(log)))
    printed = process_output.output(line for line in map(log.line, below) if line.step == hit.line.step)
    line = process_output.panic(printed)
    if line is None and (package := PACKAGE.search(hit.line.text)):
        prefix = f"warning: {package[1]}@{package[2]}: "
        if warnings := [other for other in hits.above(hit, REACH) if other.line.text.startswith(prefix)]:
            return _nearest([other for other in warnings if other.rule.kind not in other.rule.yields_to] or warnings)
    line = line or process_output.statement(printed)
    rule = Rule(hit.rule.kind, (), fault=hit.rule.fault, help=hit.rule.help)
    groups = {name: value for name, value in hit.groups.items() if name != "after"}  # that belongs to the headline
    return Hit(line, unquoted(_with_reason(log, line)), rule, groups) if line else None


def _first_diagnostic(hit: Hit, hits: Hits) -> Hit:
    """The first of a compiler's messages about one crate or file, or of failed tests: those after it may follow from it."""
    first = hit
    for other in hits.above(hit, REACH) if hit.rule.diagnostic else ():
        if other.rule.diagnostic and other.rule.kind == hit.rule.kind:
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
    """The last line that calls itself an error, otherwise the last line; None if a tool ends by saying that it succeeded."""
    states_nothing = (NOISE, WARNING, WRAPPER)
    lines = [
        line for line in log.backwards(MAX_LINES) if not any(pattern.match(line.text) for pattern in states_nothing)
    ]
    errors = [line for line in lines if ERROR.match(line.text)]
    error = next((line for line in errors if not CANCELED.match(line.text)), errors[0] if errors else None)
    if error is None and any(SUCCESS.match(line.text) for line in islice(log.backwards(MAX_LINES), TAIL)):
        return None
    return error or (lines[0] if lines else None)


def _with_reason(log: Log, line: Line) -> str:
    """The line, with the last reason of the list `Caused by:` that cargo and Rust's anyhow print below it."""
    below = log.below(line, NEAR)
    reasons = CAUSED_BY.findall(below.partition("\nStack backtrace")[0]) if below.startswith("Caused by:\n") else []
    return shortened(f"{line.text}: {reasons[-1]}" if reasons else line.text)
