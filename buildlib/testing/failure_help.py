"""Why a test failed that started another program: what the program's start printed is in the test's output."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from buildlib.core.cases import FAILED, Suite
from buildlib.core.targets import Target
from buildlib.emulation import binfmt
from buildlib.testing.child_processes import BINFMT, BOTH, LAUNCHERS, LIBRARIES, NONE

# The kernel's ENOEXEC as Rust and as shells print it, and the exit code of a child whose exec failed. Under QEMU, Rust gets no more
# than that: posix_spawn reports the error through memory that QEMU's vfork does not share. 32512 is that code as waitpid returns it.
NOT_STARTED = re.compile(
    r"Exec format error|os error 8\b|cannot execute binary file|(?:Some\(|status: |code[=:] ?|exited with )127\b"
    r"|unix_wait_status\(32512\)"
)
NO_LOADER = re.compile(r"Could not open '/lib[^']*': No such file or directory")  # QEMU


def help_for_failures(target: Target, suites: Iterable[Suite], way: str) -> str:
    """The help text for failed tests whose output shows that the kernel did not start a program of the target; else "".

    `way` is how child processes start, as child_processes.py names it.
    """
    texts = [text for suite in suites if not suite.ran_on for text in _texts(suite)]
    without_libraries, not_started = (any(map(rule.search, texts)) for rule in (NO_LOADER, NOT_STARTED))
    if way in (BINFMT, BOTH) and without_libraries:
        return (
            f"a test started a program of {target.name} without the variable {LIBRARIES}, by which the kernel's handler finds its "
            "libraries: let the test keep it"
        )
    if way in (LAUNCHERS, NONE) and (without_libraries or not_started):
        install = binfmt.requirements(target)[1].fixes[0].text
        return f"a test started a program of {target.name}, and this kernel has no handler for it: {install}"
    return ""


def _texts(suite: Suite) -> Iterator[str]:
    """What the suite's failed tests, and the programs that they started, printed."""
    yield suite.stderr
    yield from (case.detail for case in suite.cases if case.result == FAILED)
