"""How long each arch took on this machine, for the setting `ci.times`, by which --shard divides."""

from __future__ import annotations

import json
import math
from contextlib import suppress

from buildlib.binaries import dist
from buildlib.process.context import Context
from buildlib.process.files import read_text


def measured(context: Context) -> dict[str, float]:
    """The seconds of each arch: of its last compilation, which dist/ keeps when nothing has changed, and of its last tests.

    The history would say less: what was compiled an hour ago takes it a tenth of a second.
    """
    times: dict[str, float] = {}
    for entry in dist.read(context.dist):
        times[entry["arch"]] = max(times.get(entry["arch"], 0.0), entry["seconds"])
    for path in context.reports.glob("test-*.json"):
        with suppress(ValueError, RecursionError, TypeError, KeyError):
            report = json.loads(read_text(path))
            arch, seconds = str(report["arch"]), float(report["seconds"])
            if path.stem == f"test-{arch}" and math.isfinite(seconds):
                times[arch] = times.get(arch, 0.0) + max(seconds, 0.0)
    return {arch: round(seconds, 1) for arch, seconds in times.items() if seconds > 0}
