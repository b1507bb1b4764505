"""How many jobs cargo runs at once: its own settings, or the processors that this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath

PROCESS = Path("/proc/self")
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
    return max(1, min([allowed, *quotas(PROCESS, CGROUPS)]))


def quotas(process: Path, root: Path) -> Iterator[int]:
    """The limits of a process's control groups, from its own upwards, in whole processors; `process` is its directory in /proc.

    As `cgroups` in std/src/sys/thread/unix.rs of Rust: a group of version 1 with the controller counts before one of version 2.
    """
    try:
        lines = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
    except OSError:
        return
    paths = {name: line[2].lstrip("/") for line in lines if len(line) == 3 for name in line[1].split(",")}
    if "cpu" in paths:
        yield from _quotas_1(process, root, PurePath(paths["cpu"]))
    elif "" in paths:
        for group in _upwards(root / paths[""], root):
            yield from _whole(_words(group / "cpu.max"))


def _quotas_1(process: Path, root: Path, group: PurePath) -> Iterator[int]:
    """Those of version 1. The directory of the controller is one of two, or else in the list of mounts."""
    for mount, below in ((root / "cpu", group), (root / "cpu,cpuacct", group), *_mounts(process, group)):
        if (mount / below).exists():
            for place in _upwards(mount / below, mount):
                yield from _whole(_words(place / "cpu.cfs_quota_us") + _words(place / "cpu.cfs_period_us"))
            return


def _mounts(process: Path, group: PurePath) -> Iterator[tuple[Path, PurePath]]:
    """Where the controller is mounted, and the group's path below: a container may have its own group alone. See proc(5)."""
    with suppress(OSError, ValueError, IndexError):
        for line in (process / "mountinfo").read_text().splitlines():
            *_, kind, _, options = words = line.split(" ")
            top = PurePath(words[3].lstrip("/"))
            if kind == "cgroup" and "cpu" in options.split(",") and group.is_relative_to(top):
                yield Path(words[4]), group.relative_to(top)


def _upwards(folder: Path, root: Path) -> Iterator[Path]:
    return (group for group in (folder, *folder.parents) if group.is_relative_to(root))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _whole(words: list[str]) -> Iterator[int]:
    """The whole processors of a quota and its period; none without a limit, which is "max", or -1 in version 1."""
    with suppress(ValueError, ZeroDivisionError):
        quota, period = map(int, words)
        if quota >= 0:
            yield max(1, quota // period)
