"""The commit that the workspace is at, its time, and where its repository is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from buildlib.core.errors import BuildError, UsageError
from buildlib.core.plan import Step
from buildlib.process.context import Context
from buildlib.process.history import FAILURE_LOG

USER = re.compile(r"^([a-z+]+://)[^/@]*@")  # a URL's user and password


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the sources are from. All is "" outside of a git repository."""

    revision: str
    uri: str = ""  # of the remote `origin`, without credentials; "" without one
    dirty: bool = False  # files differ from the commit, or are not in it


def commit(context: Context) -> tuple[int, str]:
    """The time in seconds since 1970 and the commit: SOURCE_DATE_EPOCH, else the commit's own time, else 0 and ""."""
    when, _, revision = (git(context, "log", "-1", "--format=%ct %H").strip() or "0").partition(" ")
    when = context.host.env.get("SOURCE_DATE_EPOCH") or when
    if not when.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH={when!r} is not a number of seconds")
    return int(when), revision


def source(context: Context) -> Source:
    """The commit, its repository, and whether the files are those of the commit."""
    revision = git(context, "rev-parse", "HEAD").strip()
    if not revision:
        return Source(revision="")
    uri = USER.sub(r"\1", git(context, "config", "--get", "remote.origin.url").strip())
    # What buildlib writes into a workspace is no part of its sources.
    written = [f":(exclude){name}" for name in (context.config.dist, FAILURE_LOG, f"{FAILURE_LOG}.1")]
    dirty = bool(git(context, "status", "--porcelain", "--", ".", *written))
    return Source(revision=revision, uri=uri, dirty=dirty)


def git(context: Context, *words: str) -> str:
    """What git prints, "" if it fails or is not installed."""
    question = Step(title="commit", argv=("git", *words), cwd=context.workspace.root, stdout="keep", quiet=True)
    try:
        outcome = context.run(question)
    except BuildError:  # no git on this machine
        return ""
    return outcome.stdout if outcome else ""
