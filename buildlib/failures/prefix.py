"""What continuous integration, BuildKit and programs that start others put before a tool's own words. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

MOST = 5  # prefixes of one line: a service's name, a time stamp, a step with its seconds, a job, a level
MAX_JSON = 200_000  # characters of a line that is read as JSON
# The parts, any of which may be absent. A part ends with the one space that belongs to it: what follows is indentation.
PREFIX = re.compile(
    r"""\ufeff
      # GitHub, docker logs -t, Jenkins with the plugin Timestamper, GitLab (with the stream's number and letter)
      | \[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:\ ?(?:Z|UTC|[+-]\d\d:?\d\d))?\]?\ (?:\d\d[OE][+ ]?)?
      | \[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?\ {1,2}
      # syslog (RFC 3164) with host and program, date(1), AWS CodeBuild, klog, the kernel, the Open Build Service, TeamCity
      | (?:[A-Z][a-z]{2}\ )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\ {1,2}\d{1,2}\ \d\d:\d\d:\d\d[ ]
          (?:(?:[A-Z]{3,4}\ )?\d{4}\ )?(?:[\w.-]+\ [\w./-]+\[\d+\]:\ )?
      | \[Container\]\ \d{4}/\d\d/\d\d\ \d\d:\d\d:\d\d(?:\.\d+)?[ ]
      | [IEF]\d{4}\ \d\d:\d\d:\d\d\.\d{6}\ {1,7}\d+\ [\w.-]+\.\w+:\d+\]\ | \[\ {0,6}\d{1,9}\.\d{6}\][ ]
      | \[\ {0,5}(?:\d+[hm])*\d+s\]\ | \[\d\d:\d\d:\d\d\](?:[A-Za-z ]?:\ {1,3}|\t) | \[Step\ \d+/\d+\]\ {1,3}
      # Google Cloud Build, Earthly
      | Step\ \#\d+(?:\ -\ "[^"]*")?:\ | \ {0,40}\+[\w./-]+(?:\ \*failed\*)?\ \|[ ]
      # BuildKit's step and seconds
      | \#(?P<step>\d+)\ (?:\d+\.\d+\ )? | \d{1,5}\.\d{1,3}\ (?=\S)
      # SSHKit and Kamal: level and the id of a command
      | \s{0,4}(?:INFO|DEBUG|WARN|ERROR|FATAL)\s+\[[0-9a-f]{4,12}\]\s
      # act and Gitea's runner: workflow and job
      | \[[\w.\ -]+/[\w./\ ()-]+\]\s{1,3}\|\ ? | \|\ (?=\S)
      # Jenkins' parallel branches, Maven-like job names; not the words that tools put in brackets
      | \[(?!(?:cross|error|warn(?:ing)?|info|notice|debug|trace|fatal|internal|auth|output|context|Pipeline)\b)
          (?=[\w./:@-]*[A-Za-z])[A-Za-z@][\w./:@-]*\][ ]
      # cargo -vv about a build script's output: the crate
      | \[[a-zA-Z][\w-]*\ \d+\.\d+\.\d+[^\]\s]*\][ ]
      # docker compose and foreman: the service
      | (?!(?:INFO|DEBUG|TRACE|WARNING)\b)[A-Za-z][\w.-]*\s+\|\ ?
      # turbo: package and task
      | (?:@[\w.-]+/)?[A-Za-z][\w.-]*:(?:build|test|lint|check|ci|docker)(?::[\w-]+)*:\ """,
    re.VERBOSE,
)
# What `gh run view --log` puts before a line: job and step, then the runner's time (cli/cli pkg/cmd/run/view/view.go).
COLUMNS = re.compile(r"([^\t]{1,200}\t[^\t]{1,200}\t)\ufeff?\d{4}-\d\d-\d\dT\d\d:")
# The name of a machine or a job with which a program begins every line that it passes on (Vagrant, Packer, foreman).
NAME = re.compile(r" {0,4}(?:==> )?([\w.@-]{2,40}): ?(?=(.?))")
TOOLS = (
    "error", "warning", "note", "fatal", "hint", "help", "info", "debug", "trace", "remote", "npm", "make", "cargo", "rustc", "docker",
    "git", "curl", "wget", "tar", "gzip", "apt", "dpkg", "ld", "cc", "gcc", "clang", "bash", "sh", "sudo", "configure", "cmake",
)  # fmt: skip
QUOTES = ("> ", "# ", "| ")  # what a person or a program puts before all lines of a log that it quotes
SAMPLE = 200  # rows at the end of a log in which a name is looked for
# Where the words of a tool are in an object that a program has logged, in this order.
KEYS = ("rendered", "errorDetail", "error", "err", "message", "msg", "log", "stream", "status", "text", "line")


def split(row: str) -> tuple[str, str]:
    """BuildKit's number of the step ("" outside of any), and the row without its prefixes."""
    at, step = 0, ""
    for _ in range(MOST):
        found = PREFIX.match(row, at)
        if not found or (found["step"] and step):
            break
        at, step = found.end(), found["step"] or step
    return step, row[at:] if at else row


def without_names(rows: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The numbered rows without the columns of `gh run view`, or a name or a mark that most of them begin with."""
    ends = rows[:SAMPLE] + rows[-SAMPLE:]
    if any(COLUMNS.match(row) for _, row in ends):
        return list(_without_columns(rows))
    last = [row.lstrip() for _, row in rows[-SAMPLE:] if row.strip()]
    for mark in QUOTES:
        if len(last) >= 3 and sum(row.startswith(mark) or row == mark.strip() for row in last) > 0.8 * len(last):
            return [(number, row.lstrip().removeprefix(mark)) for number, row in rows]
    if name := _common_name(last):
        start = re.compile(rf" {{0,4}}(?:==> )?{re.escape(name)}:(?: |$)")
        return [(number, row[found.end() :] if (found := start.match(row)) else row) for number, row in rows]
    return rows


def _without_columns(rows: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """A line of several is one row with a time, and then rows without one below the same job and step."""
    columns = ""
    for number, row in rows:
        if found := COLUMNS.match(row):
            columns = found[1]
        yield number, row[len(columns) :] if columns and row.startswith(columns) else row


def _common_name(rows: list[str]) -> str:
    """What most rows begin with, "" if nothing. A tool also repeats its name, but does not indent what follows it."""
    names = [found for row in rows if (found := NAME.match(row))]
    (name, times), *_ = Counter(found[1] for found in names).most_common(1) or [("", 0)]
    indents = any(found[1] == name and found[2] in (" ", "\t", "") for found in names)
    return name if indents and times >= 3 and times > 0.6 * len(rows) and name.lower() not in TOOLS else ""


def spoken(row: str) -> list[str] | None:
    """The lines in a row that is a JSON object with a message; None for any other row.

    This is how docker's API, docker's log files, cargo's --message-format and many programs log.
    """
    if not row.startswith("{") or len(row) > MAX_JSON or not row.rstrip().endswith("}"):
        return None
    try:
        parsed = json.loads(row)
    except (ValueError, RecursionError):
        return None
    text = _text(parsed)
    if text is None:
        return None
    level = str(parsed.get("level") or parsed.get("severity") or "").lower()
    return [f"warning: {line}" if level.startswith("warn") else line for line in text.rstrip("\n").split("\n")]


def _text(parsed: Any, depth: int = 3) -> str | None:
    if isinstance(parsed, str):
        return parsed
    if isinstance(parsed, dict) and depth:
        for key in KEYS:
            if text := _text(parsed.get(key), depth - 1):
                return text
    return None
