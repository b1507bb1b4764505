"""Start the process of a step, with its environment, and say what is wrong where that fails."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Mapping

from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.core.plan import Step


def step_environment(base: Mapping[str, str], step: Step) -> dict[str, str]:
    """The environment of a step: `base` without what the step unsets, with what it sets."""
    exact = {name for name in step.unset if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in step.unset if name.endswith("*"))
    kept = {k: v for k, v in base.items() if k not in exact and not (prefixes and k.startswith(prefixes))}
    return kept | dict(step.env)


def start(step: Step, env: Mapping[str, str], descriptors: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """Start the step's process with exactly this environment; it inherits the open files `descriptors`.

    Raises:
        MissingRequirements: There is no such program.
        UsageError: The program cannot be executed.
    """
    try:
        # A process group of its own: the runner passes Ctrl-C on to all of the step's children at once. A step that reads
        # from the terminal must stay in the terminal's foreground group, or the kernel stops it (SIGTTIN).
        return subprocess.Popen(
            step.argv, env=env, cwd=step.cwd, stdin=None if step.terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=None if step.terminal else 0,
            pass_fds=descriptors,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise MissingRequirements(f"{error.filename}: no such program", "run `buildlib doctor`") from None
    except PermissionError as error:
        raise UsageError(
            f"{error.filename}: {error.strerror}", "chmod +x; does its file system allow programs?"
        ) from None
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        raise UsageError(f"{error.filename}: {error.strerror}", "it is not a program for this machine") from None
