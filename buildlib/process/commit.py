"""The commit that the workspace is at, and its time."""

from __future__ import annotations

from buildlib.core.errors import BuildError, UsageError
from buildlib.core.plan import Step
from buildlib.process.context import Context


def commit(context: Context) -> tuple[int, str]:
    """The time in seconds since 1970 and the commit: SOURCE_DATE_EPOCH, else the commit's own time, else 0 and ""."""
    question = Step(title="commit", argv=("git", "log", "-1", "--format=%ct %H"), cwd=context.workspace.root,
                    stdout="keep", quiet=True)  # fmt: skip
    try:
        outcome = context.run(question)
        when, _, revision = outcome.stdout.strip().partition(" ") if outcome else ("0", "", "")
    except BuildError:  # no git on this machine
        when, revision = "0", ""
    when = context.host.env.get("SOURCE_DATE_EPOCH") or when or "0"
    if not when.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH={when!r} is not a number of seconds")
    return int(when), revision
