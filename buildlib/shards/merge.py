"""The command `merge`: join what several machines have made, after everything was checked again."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from buildlib.assembly.spec import ImageResult
from buildlib.binaries.dist import Entry
from buildlib.binaries.publishing import publish
from buildlib.core.errors import BuildError, TestsFailed, UsageError
from buildlib.core.targets import Target
from buildlib.process.context import Context
from buildlib.process.files import disk_error
from buildlib.shards import agreement, binaries, images, reports, result
from buildlib.shards.source import source
from buildlib.testing import tests
from buildlib.testing.tests import TestResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What all parts together have made."""

    entries: tuple[Entry, ...]
    tests: tuple[TestResult, ...]
    images: tuple[ImageResult, ...]


def merge(
    context: Context, folders: Sequence[Path], whole: tuple[Target, ...], tags: tuple[str, ...], *, named: bool
) -> Merged:
    """Merge the parts that `folders` are or have in them.

    Reports are merged first; without failed tests dist/ follows, and the tags are moved last.

    Raises:
        UsageError: A directory is not a part.
        BuildError: A part is missing, is there twice, or does not fit.
        Refused: A file or an image was modified, or does not pass the gate.
        TestsFailed: Tests failed in a part.
    """
    if not folders:
        raise UsageError("nothing to merge", "name the directories that `build --shard` wrote: buildlib merge DIST…")
    try:
        parts = [result.read(part) for folder in folders for part in result.found(folder)]
        commit = source(context)
        if not commit:
            context.console.warn("no git repository: whether the parts are from the same sources is not known")
        agreement.check(parts, commit, [target.name for target in whole])
        tested = reports.read(parts)
        _merge_reports(context, parts, tested)
        with tempfile.TemporaryDirectory() as scratch:
            return _merge_artifacts(context, parts, tested, Path(scratch), whole, tags, named=named)
    except OSError as error:
        raise disk_error(error) from None


def _merge_reports(context: Context, parts: Sequence[result.Result], tested: Sequence[TestResult]) -> None:
    reports.add_histories(context, parts)
    for one in tested:
        tests.write_reports(context, one)
    failed = [one for one in tested if one.error]
    if failed:
        listed = "; ".join(one.error.message for one in failed if one.error)
        kind = TestsFailed if all(isinstance(one.error, TestsFailed) for one in failed) else BuildError
        raise kind(f"nothing is published, because tests failed: {listed}", f"the reports are in {context.reports}")


def _merge_artifacts(
    context: Context, parts: Sequence[result.Result], tested: Sequence[TestResult], scratch: Path, whole: tuple[Target, ...],
    tags: tuple[str, ...], *, named: bool,
) -> Merged:  # fmt: skip
    with context.console.busy("check every binary"):
        entries, copies = binaries.verified(context, parts, scratch)
    places = {target.name: place for place, target in enumerate(whole)}
    entries.sort(key=lambda entry: (places[entry["arch"]], entry["binary"]))
    request = images.Request(whole=whole, named=named, tags=tags, entries=entries)
    joined = images.joined(context, parts, request)
    if entries:
        publish(context, entries, copies)
    return Merged(
        entries=tuple(entries), tests=tuple(tested), images=tuple(images.publish(context, joined) if joined else ())
    )
