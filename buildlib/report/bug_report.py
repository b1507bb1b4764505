"""The report of `doctor --report` as Markdown that can be pasted into an issue.

It is one block of code in a fold: nothing in it is Markdown, mentions a user or refers to an issue, whatever a path contains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

from buildlib.display.escaping import printable
from buildlib.failures.redact import redact, redact_argv, secret_values

if TYPE_CHECKING:
    from buildlib.doctor.bug_report import Section

MAX_CHARACTERS = 60_000  # GitHub takes 65,536 in an issue
MAX_VALUE = 4000


def markdown(sections: Iterable[Section], title: str, env: Mapping[str, str]) -> str:
    """The report, with `***` in place of secrets and `~` in place of the home directory. `title` is shown while it is folded."""
    secrets, home = secret_values(env), env.get("HOME", "").rstrip("/")
    lines: list[str] = []
    for section in sections:
        lines += ["", section.title] if lines else [section.title]
        width = min(max((len(name) for name, _ in section.rows), default=0), 24)
        lines += [_line(name, value, width, secrets) for name, value in section.rows if value] or ["  none"]
    text = "\n".join(lines)
    if home:
        text = re.sub(rf"{re.escape(home)}(?=[/\s:;,)'\"]|$)", "~", text, flags=re.MULTILINE)
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]}\n… (use --arch for fewer targets)"
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"<details>\n<summary>{escape(printable(title))}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>"


def _line(name: str, value: str, width: int, secrets: tuple[str, ...]) -> str:
    # As an assignment the value of a variable is known by its name; in other lines secrets have forms of their own.
    (assignment,) = redact_argv([f"{name}={value[:MAX_VALUE]}"], secrets)
    shown = (
        assignment.removeprefix(f"{name}=") if assignment.startswith(f"{name}=") else redact(value[:MAX_VALUE], secrets)
    )
    shown = "\n".join(f"{'':{width + 4}}{line}" for line in printable(shown).splitlines()).strip()
    return f"  {printable(name):{width}}  {shown}".replace("\n\n", "\n")
