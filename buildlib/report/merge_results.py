"""The JSON result of `merge`; `results` has those of the other commands."""

from __future__ import annotations

from typing import TypedDict

from buildlib.binaries.dist import Entry
from buildlib.report.reply import ReplyData


class MergedImage(TypedDict):
    """An image of `merge`; `images` maps each platform to the digest of its image."""

    component: str
    status: str
    digest: str
    platforms: list[str]
    images: dict[str, str]
    tags: list[str]
    where: str
    code: int
    error: str | None


class MergeData(ReplyData):
    """`merge --json`. `reports` are the names of the merged reports of tests."""

    binaries: list[Entry]
    reports: list[str]
    images: list[MergedImage]
