"""How long cargo took for each crate, read from what it prints while it runs.

`cargo build --timings=json` is unstable, and `--timings` leaves one more HTML file in the target directory with each build, whose
embedded data is internal to cargo. A message says when something was finished. When it was started, cargo leaves in
`invoked.timestamp` (`paths::set_invocation_time` in cargo), beside the fingerprint of a unit and beside the output of a build script.
Programs have no hash in their messages' paths, and a backend in a container has other paths: for these, and for a cargo that has no
such files, a unit starts with the line `Compiling NAME vVERSION`, or with the previous message about its package.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPILING = re.compile(r"^(?:\x1b\[[0-9;]*m|\s)*Compiling(?:\x1b\[[0-9;]*m)*\s+(\S+) v(\S+)")
HASH = re.compile(r"-([0-9a-f]{16})$")
STAMP = "invoked.timestamp"


@dataclass(slots=True)
class CrateTime:
    """Seconds of all units of a package; `script` is the part in which its build script ran."""

    seconds: float = 0.0
    script: float = 0.0


class CrateTimes:
    """The times of one run of cargo. `now` returns the time in seconds since 1970, as file systems do."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.begin = now()
        self.crates: dict[tuple[str, str], CrateTime] = {}
        self._latest: dict[tuple[str, str], float] = {}  # the last sign of a package

    def line(self, text: str) -> None:
        """Read a line of cargo's stderr."""
        if match := COMPILING.match(text):
            self._latest.setdefault((match[1], match[2]), self.now())

    def compiled(self, message: Mapping[str, Any]) -> None:
        """Read a message `compiler-artifact` about something that is not fresh."""
        package, files = package_of(str(message.get("package_id", ""))), message.get("filenames") or ()
        self._add(package, _fingerprint(package[0], Path(files[0])) if files else None)

    def executed(self, message: Mapping[str, Any]) -> None:
        """Read a message `build-script-executed`; cargo repeats it for a script that did not run."""
        package, stamp = package_of(str(message.get("package_id", ""))), Path(message.get("out_dir", "")).parent / STAMP
        if package in self._latest:
            self.crates.setdefault(package, CrateTime()).script += self._add(package, stamp)

    def slowest(self, count: int) -> list[tuple[str, str, float, float]]:
        """The packages that took longest: name, version, seconds, and seconds of the build script."""
        ordered = sorted(self.crates.items(), key=lambda entry: (-entry[1].seconds, entry[0]))
        return [(*package, round(crate.seconds, 2), round(crate.script, 2)) for package, crate in ordered[:count]]

    def _add(self, package: tuple[str, str], stamp: Path | None) -> float:
        end = self.now()
        start = self._latest.get(package, end)
        with suppress(OSError, ValueError):
            if stamp and (modified := stamp.stat().st_mtime) >= self.begin - 1:  # some file systems keep whole seconds
                start = modified
        seconds = max(end - start, 0.0)
        self.crates.setdefault(package, CrateTime()).seconds += seconds
        self._latest[package] = end
        return seconds


def package_of(identifier: str) -> tuple[str, str]:
    """Name and version in a package ID of cargo.

    `registry+https://…#serde@1.0.229`, `path+file:///…/app#0.1.0`, and before cargo 1.77 `serde 1.0.138 (registry+…)`.
    """
    if " " in identifier and not identifier.partition("#")[2]:
        name, _, rest = identifier.partition(" ")
        return name, rest.partition(" ")[0]
    url, _, fragment = identifier.rpartition("#")
    name, at, version = fragment.rpartition("@")
    return (name, version) if at else (url.partition("?")[0].rpartition("/")[2], fragment)


def _fingerprint(package: str, file: Path) -> Path | None:
    """The time stamp of the unit that made a file: deps/libNAME-HASH.rlib, or build/PACKAGE-HASH/build-script-build."""
    folder = file.parent
    match = HASH.search(file.stem) if folder.name == "deps" else HASH.search(folder.name)
    if not match:
        return None
    root = folder.parent if folder.name == "deps" else folder.parent.parent
    return root / ".fingerprint" / f"{package}-{match[1]}" / STAMP
