"""`merge`: join what several machines have made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from buildlib.cli.commands.image import signing_flags
from buildlib.cli.entry import ARCH, JSON, command, open_workspace, setting_help, settings_help, split, task
from buildlib.process.console import Console
from buildlib.report.reply import exit_code


@task(
    iterable=["result", "arch", "tag", "attest"],
    help={
        "result": "dist/ of each machine, as its commands with --shard have left it, or a directory that has these in it",
        "arch": f"{ARCH}, as for the commands with --shard; default: all",
        "tag": "tags of the images; default: as for `image --push`",
        **settings_help("registry"),
        "sign": setting_help("signing.key"),
        "attest": setting_help("signing.attest"),
        "json": JSON,
    },
)
@command
def merge(
    c: Any, console: Console, result: list[str], arch: list[str], tag: list[str], attest: list[str], registry: str = "",
    sign: str = "", json: bool = False,
) -> int:  # fmt: skip
    """Join the parts of commands with --shard: check all binaries and images again, fill dist/, and then move the tags.

    With a key the images are signed before that.

    A part that is missing, there twice, of another commit or of other settings is an error, and so is a modified file.
    """
    flags = {"registry": registry, "signing": signing_flags(sign, attest)}
    context = open_workspace(c, console, flags, scope="project", recorded=True)
    from buildlib.report import merge_tables
    from buildlib.shards import merge as parts
    from buildlib.usage import after_parts

    whole = context.targets(tuple(arch), "all")
    # Names of directories may have commas.
    merged = parts.merge(context, [Path(word) for word in result], whole, tuple(split(tag)), named=bool(arch))
    merge_tables.merge(console, merged, as_json=json)
    after_parts.after_merge(context, merged)
    return exit_code(merged.images)
