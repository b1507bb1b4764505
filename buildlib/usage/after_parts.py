"""The last lines of commands with --shard, and of `merge`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildlib.usage.next_command import note, plural, show, shown

if TYPE_CHECKING:
    from buildlib.assembly.spec import ImageResult
    from buildlib.binaries.build import BuildResult
    from buildlib.process.context import Context
    from buildlib.shards.merge import Merged
    from buildlib.testing.tests import TestResult


def after_part(context: Context, results: Sequence[BuildResult] | Sequence[TestResult] | Sequence[ImageResult]) -> None:
    """Say where the record of a part is, and name the command that joins all parts."""
    if not any(result.error for result in results) and not context.run.dry:
        note(context.console, f"{shown(context.dist)} is a part; with those of all machines: buildlib merge DIST…")


def after_merge(context: Context, merged: Merged) -> None:
    """Say what was merged, and name the command that checks the images, or shows all parts; nothing after an error."""
    if any(one.error for one in merged.images):
        return
    made = [plural(len(merged.entries), "file")] if merged.entries else []
    made += [plural(len(merged.tests), "report")] if merged.tests else []
    made += [plural(len(merged.images), "image")] if merged.images else []
    note(context.console, f"{'would be ' if context.run.dry else ''}merged: {', '.join(made)}")
    words = ["verify", *(f"{one.where}:{one.tags[0]}" for one in merged.images)]
    show(context.console, words if merged.images else ["report"], dry=context.run.dry)
