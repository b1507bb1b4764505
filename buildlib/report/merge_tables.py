"""The result of `merge`, for users and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildlib.process.console import Console
from buildlib.report.reply import reply

if TYPE_CHECKING:
    from buildlib.report import merge_results as data
    from buildlib.shards.merge import Merged


def merge(console: Console, merged: Merged, *, as_json: bool) -> None:
    """Print what the parts have together: one row per binary, per tested arch, and per image."""
    from buildlib.report import image_tables, test_tables
    from buildlib.report.tables import size

    if as_json:
        images: list[data.MergedImage] = [
            {
                "component": one.component, "status": one.status.value, "digest": one.digest, "platforms": list(one.platforms),
                "images": dict(one.images), "tags": list(one.tags), "where": one.where,
                "code": one.error.code if one.error else 0, "error": one.error.message if one.error else None,
            }
            for one in merged.images
        ]  # fmt: skip
        reports = [f"{one.session}-{one.target.name}" for one in merged.tests]
        result: data.MergeData = {
            "binaries": list(merged.entries),
            "reports": reports,
            "images": images,
            **reply([one.error for one in merged.images]),
        }
        console.json(result)
        return
    if merged.entries:
        rows = [
            (one["arch"], one["binary"], size(one["size"]), one["backend"], one["sha256"][:12], one["started"] or "no")
            for one in merged.entries
        ]
        console.table(("arch", "binary", "size", "backend", "sha256", "started"), rows)
    test_tables.tests(console, merged.tests, as_json=False)
    image_tables.image(console, merged.images, as_json=False)
