"""What a plan requires of the machine, and how to install what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from buildlib.core.plan import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One way to meet a requirement: `text` for the user, `steps` for `setup`, which asks before it runs them.

    `root` is False for steps that run without root, in the user's own environment.
    """

    text: str
    steps: tuple[Step, ...] = ()
    root: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Something that a plan requires of the machine, and ways to provide it, best first."""

    what: str
    why: str
    # The argument is a machine.host.Host; `machine` is a higher layer than this package.
    met: Callable[[Any], bool]
    fixes: tuple[Fix, ...] = ()
    required: bool = True  # False if its absence only leaves out a check
    section: str = "build"  # of doctor's table
    have: str = ""  # what the machine has, for doctor's table


def apt_install(*packages: str) -> Step:
    """Install Debian packages without questions, and without recommended extras."""
    return Step(
        title=f"install {' '.join(packages)}",
        argv=("apt-get", "install", "--yes", "--no-install-recommends", *packages),
        env={"DEBIAN_FRONTEND": "noninteractive"},
        attempts=3,
    )


def apt_fix(*packages: str) -> Fix:
    """The fix that installs Debian packages."""
    return Fix(text=f"apt-get install {' '.join(packages)}", steps=(apt_install(*packages),))


def missing(requirements: Iterable[Requirement], host: Any) -> tuple[Requirement, ...]:
    """The requirements that `host` does not meet."""
    return tuple(requirement for requirement in requirements if not requirement.met(host))


def describe(requirements: Iterable[Requirement]) -> str:
    """One line per requirement: what, why, and its fixes."""
    lines = []
    for requirement in requirements:
        fixes = " or ".join(fix.text for fix in requirement.fixes)
        lines.append(f"  {requirement.what} ({requirement.why}): {fixes}")
    return "\n".join(lines)
