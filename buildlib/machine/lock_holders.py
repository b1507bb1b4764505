"""Which command holds a lock that something waits for, as far as Linux says it: /proc/locks, described in proc(5)."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
# 2: FLOCK  ADVISORY  WRITE 11234 fe:00:10289459 0 EOF
# 2: -> FLOCK  ADVISORY  WRITE 11275 fe:00:10289459 0 EOF
LINE = re.compile(r"(\d+): (-> )?FLOCK +\w+ +\w+ +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ")
MAX_COMMAND = 4096  # bytes of a command line that are read
SHOWN = 60  # characters of it that are shown
TRIES, PAUSE = 5, 0.02  # a tool says that it waits just before it does


def of_directory(handle: int, proc: Path = PROC) -> str:
    """The command that holds the lock of an open directory, "NAME ARGS…, process N"; "" if that is not known."""
    status = os.fstat(handle)
    file = (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
    for match in _locks(proc):
        if not match[2] and (int(match[4], 16), int(match[5], 16), int(match[6])) == file:
            return _command(int(match[3]), proc)
    return ""


def blocking(group: int, proc: Path = PROC, pause: Callable[[float], object] = time.sleep) -> str:
    """The command for whose lock a process of a group waits, as of `of_directory`."""
    for _ in range(TRIES):
        locks = list(_locks(proc))
        waits = {match[1] for match in locks if match[2] and _group(int(match[3])) == group}
        for match in locks:
            if match[1] in waits and not match[2]:
                return _command(int(match[3]), proc)
        pause(PAUSE)
    return ""


def _locks(proc: Path) -> list[re.Match[str]]:
    """The locks of flock(2); none on a system that does not list them."""
    with suppress(OSError):
        return list(filter(None, map(LINE.match, (proc / "locks").read_text().splitlines())))
    return []


def _group(pid: int) -> int:
    with suppress(OSError):
        return os.getpgid(pid)
    return 0


def _command(pid: int, proc: Path) -> str:
    """A process in words, without secrets and without the path of its program."""
    from buildlib.failures.redact import redact_argv

    words: list[str] = []
    with suppress(OSError), (proc / str(pid) / "cmdline").open("rb") as file:
        words = file.read(MAX_COMMAND).decode("utf-8", "replace").rstrip("\0").split("\0")
    if not pid or not any(words):  # 0 is a process outside of this container
        return ""
    script = next((at for at, word in enumerate(words[1:], 1) if not word.startswith("-")), 0)
    if Path(words[0]).name.startswith("python"):  # the script says more than its interpreter
        words = words[script:]
    text = shlex.join(redact_argv((Path(words[0]).name, *words[1:])))
    return f"{text if len(text) <= SHOWN else f'{text[: SHOWN - 1]}…'}, process {pid}"
