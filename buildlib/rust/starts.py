"""Whether zig and cargo-zigbuild start: a file without its permissions or libraries, or for another machine, is no compiler."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from buildlib.core.errors import BuildError
from buildlib.core.plan import Step, Write
from buildlib.core.requirements import Fix, Requirement
from buildlib.process.context import Context
from buildlib.rust.backends.base import Backend
from buildlib.rust.backends.zig import PAIR


def requirements(context: Context, backends: Iterable[Backend]) -> Iterator[Requirement]:
    """Return a requirement for each of the two that does not start, with the cause.

    A program that has started once is not started again until its file changes: a build with nothing to do takes no longer.
    """
    if not any(backend.name == "zig" for backend in backends):
        return
    for path, flag in ((context.host.zig, "version"), (context.host.zigbuild, "--version")):
        if path and (cause := failure(context, path, flag)):
            yield Requirement(
                what=f"a {path.name} that starts", why=f"{path}: {cause}", met=lambda _: False,
                fixes=(Fix(text=f"pip install --force-reinstall --no-cache-dir {' '.join(map(repr, PAIR))}"),),
            )  # fmt: skip


def failure(context: Context, path: Path, flag: str) -> str:
    """Return why `path` does not start, "" if it does, or does not exist (another requirement reports that)."""
    try:
        status = path.stat()
    except OSError:
        return ""
    key = [str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode]
    mark = context.host.cache / "starts" / hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    if mark.exists():
        return ""
    step = Step(title=path.name, argv=(str(path), flag), stdout="keep", quiet=True, timeout=60.0)
    try:
        outcome = context.run(step)
    except BuildError as error:  # the system could not execute it
        return error.message.removeprefix(f"{path}: ")
    if not outcome:
        return outcome.last
    if not re.search(r"\d+\.\d+", outcome.stdout):
        return f"prints no version for `{flag}`"
    context.run(Write(path=mark, text=f"{path}\n"))
    return ""
