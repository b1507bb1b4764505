"""How many jobs cargo runs at once: its own settings, or the processors that this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def jobs(setting: str, processors: int) -> int:
    """The number for a setting as of cargo's `build.jobs`: negative ones count from the number of processors, "" is the default."""
    try:
        number = int(setting)
    except ValueError:  # "default", and what cargo itself will refuse
        number = 0
    return number if number > 0 else max(1, processors + number)


def processors() -> int:
    """The processors that this process may use, with the limit of its container, as Rust's `available_parallelism` counts them."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *quotas(Path("/proc/self/cgroup"), CGROUPS)]))


def quotas(groups: Path, root: Path) -> Iterator[int]:
    """The limits of the control groups (version 2) of a process, from its own upwards, in whole processors."""
    try:
        path = next(line.strip()[3:] for line in groups.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return
    folder = root / path.lstrip("/")
    for group in (folder, *folder.parents):
        try:
            quota, period = (group / "cpu.max").read_text().split()
            yield max(1, math.floor(int(quota) / int(period)))
        except (OSError, ValueError, ZeroDivisionError):  # "max" is no number
            pass
        if group == root:
            return
