"""hardcoded-arch-download (BL001): a download or package for one architecture that is taken on every platform."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from buildlib.lint.analysis import Analysis, mismatch
from buildlib.lint.downloads import Download, all_downloads, new_downloads
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.arch_words import can_run
from buildlib.lint.parsing.source import Span
from buildlib.lint.rejections import is_fixed

LONGEST = 80  # characters of a name in a message


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the downloads of each stage."""
    seen: set[Span] = set()
    for stage in analysis.file.stages:
        everything = [(i, download) for i in stage.instructions for download in all_downloads(analysis)[id(i)]]
        by_prefix = _arches((((id(i), download.prefix), download) for i, download in everything if not download.guards))
        by_name = _arches((download.generic_name, download) for _, download in everything)
        for instruction, download in new_downloads(analysis, stage):
            guards = (*analysis.stage_guards(stage), *download.guards)
            if mismatch(guards, download.arches):
                continue  # wrong-arch-mapping
            # One of a list for several architectures: others with its prefix in the instruction, or its name in the stage.
            neighbors = by_prefix.get((id(instruction), download.prefix), set())
            is_listed = len(download.arches) == 1 and _has_other_arch(neighbors, download)
            is_listed = is_listed or _has_other_arch(by_name[download.generic_name], download)
            is_right = is_fixed(analysis, stage, download.piece.span.start, download.arches)
            if guards or is_listed or is_right or download.span in seen:
                continue
            seen.add(download.span)
            arches = " and ".join(sorted(download.arches))
            text = f"the {download.kind} is for {arches} on every platform: {_shortened_name(analysis, download)}"
            yield make_finding(analysis.source, "hardcoded-arch-download", download.span, text, edits=download.edits)


def _arches(downloads: Iterable[tuple[Hashable, Download]]) -> dict[Hashable, set[str]]:
    """The architectures of all downloads with the same key."""
    arches: dict[Hashable, set[str]] = {}
    for key, download in downloads:
        arches.setdefault(key, set()).update(download.arches)
    return arches


def _has_other_arch(arches: set[str], download: Download) -> bool:
    """Whether there is an architecture that no machine of the download's has; an amd64 machine may install 386 packages too."""
    return any(not any(can_run(arch, own) or can_run(own, arch) for own in download.arches) for arch in arches)


def _shortened_name(analysis: Analysis, download: Download) -> str:
    span = download.name.span
    name = analysis.source.raw[span.start : span.end].decode("utf-8", "replace").strip("\"'")
    return name if len(name) <= LONGEST else f"…{name[-(LONGEST - 1) :]}"
