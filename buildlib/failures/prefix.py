"""What continuous integration, BuildKit and programs that start others put before a tool's own words. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

MOST = 5  # prefixes of one line: a service's name, a time stamp, a step with its seconds, a job, a level
MAX_JSON = 200_000  # characters of a line that is read as JSON
# The parts, any of which may be absent. A part ends with the one space that belongs to it: what follows is indentation.
PREFIX = re.compile(
    r"""\ufeff
      # GitHub, docker logs -t, Jenkins with the plugin Timestamper, GitLab (with the stream's number and letter)
      | \[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:\ ?(?:Z|UTC|[+-]\d\d:?\d\d))?\]?\ (?:\d\d[OE][+ ]?)?
      | \[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?\ {1,2}
      # BuildKit's step and seconds
      | \#(?P<step>\d+)\ (?:\d+\.\d+\ )? | \d{1,5}\.\d{1,3}\ (?=\S)
      # SSHKit and Kamal: level and the id of a command
      | \s{0,4}(?:INFO|DEBUG|WARN|ERROR|FATAL)\s+\[[0-9a-f]{4,12}\]\s
      # act and Gitea's runner: workflow and job
      | \[[\w.\ -]+/[\w./\ ()-]+\]\s{1,3}\|\ ? | \|\ (?=\S)
      # Jenkins' parallel branches, Maven-like job names; not the words that tools put in brackets
      | \[(?!(?:cross|error|warn(?:ing)?|info|notice|debug|trace|fatal|internal|auth|output|context)\b)
          (?=[\w./:@-]*[A-Za-z])[A-Za-z@][\w./:@-]*\][ ]
      # cargo -vv about a build script's output: the crate
      | \[[a-zA-Z][\w-]*\ \d+\.\d+\.\d+[^\]\s]*\][ ]
      # docker compose and foreman: the service
      | [A-Za-z][\w.-]*\s+\|\ ?
      # turbo: package and task
      | (?:@[\w.-]+/)?[A-Za-z][\w.-]*:(?:build|test|lint|check|ci|docker)(?::[\w-]+)*:\ """,
    re.VERBOSE,
)
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
