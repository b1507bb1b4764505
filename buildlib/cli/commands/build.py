"""`build`: binaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from buildlib.cli.cargo_options import CargoOptions, cargo_command
from buildlib.cli.entry import ARCH, JSON, SHARD, absolute, open_workspace, settings_help
from buildlib.process.console import Console
from buildlib.report.reply import exit_code

if TYPE_CHECKING:
    from buildlib.binaries.build import BuildResult
    from buildlib.process.context import Context


@cargo_command(
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: native",
        **settings_help("profile", "backend", "glibc", "target_dir", "dist"),
        "shard": SHARD,
        "json": JSON,
    },
)
def build(
    c: Any, console: Console, cargo: CargoOptions, arch: list[str], backend: str = "", glibc: str = "", target_dir: str = "",
    dist: str = "", shard: str = "", json: bool = False,
) -> int:  # fmt: skip
    """Compile, verify, and put the binaries into dist/<arch>/.

    Words after -- are for cargo.
    """
    flags = {
        **cargo.settings, "backend": backend, "glibc": glibc, "target_dir": absolute(target_dir), "dist": absolute(dist),
    }  # fmt: skip
    context = open_workspace(c, console, flags, cargo.request, recorded=True)
    from buildlib.binaries import build as binaries
    from buildlib.report import tables
    from buildlib.usage import after_parts, next_command

    words = (*arch, *cargo.targets)
    results = _build_part(context, shard, words) if shard else binaries.build(context, context.targets(words, "native"))
    tables.build(console, results, as_json=json)
    if shard:
        after_parts.after_part(context, results)
    else:
        next_command.after_build(context, results)
    return exit_code(results)


def _build_part(context: Context, shard: str, words: tuple[str, ...]) -> list[BuildResult]:
    """Build the arches of this machine's part, and record the binaries for `merge`."""
    from buildlib.binaries import build as binaries
    from buildlib.shards import record
    from buildlib.shards.part import part_of

    part = part_of(context, shard, words)
    recording = record.start(context, part, "build")
    results = binaries.build(context, part.targets) if part.targets else []
    if not any(result.error for result in results):
        recording.build(entry for result in results for entry in result.entries)
    return results
