"""The result of `sign`, for users and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildlib.process.console import Console
from buildlib.report.reply import reply

if TYPE_CHECKING:
    from buildlib.report import results as data
    from buildlib.signing.signer import Signed


def show(console: Console, signed: Sequence[Signed], *, as_json: bool) -> None:
    """Print one row per directory, index and platform."""
    if as_json:
        rows: list[data.SignData] = [
            {"path": one.path, "platform": one.platform, "digest": one.digest, "added": one.added, **reply()}
            for one in signed
        ]
        console.json(rows)
        return
    console.table(
        ("signed", "platform", "digest", "status"),
        (
            (one.path, one.platform, one.digest.removeprefix("sha256:")[:12], "done" if one.added else "unchanged")
            for one in signed
        ),
    )
