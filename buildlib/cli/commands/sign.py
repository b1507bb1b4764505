"""`sign`: signatures of images and of dist/, with a local key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from buildlib.cli.commands.image import signing_flags
from buildlib.cli.entry import JSON, command, open_workspace, setting_help, split, task
from buildlib.core.errors import UsageError
from buildlib.process.console import Console


@task(
    iterable=["path"],
    help={
        "path": "a directory of verified binaries, or an image with tag or digest (docker://…); default: dist",
        "key": setting_help("signing.key"),
        "json": JSON,
    },
)
@command
def sign(c: Any, console: Console, path: list[str], key: str = "", json: bool = False) -> int:
    """Sign dist/, or images in a registry: the index and the image of each platform. cosign verifies both."""
    context = open_workspace(c, console, {"signing": signing_flags(key)}, scope="anywhere")
    from buildlib.image_gate.remote import is_reference
    from buildlib.report import signing_table
    from buildlib.signing.signer import opened_signer, sign_directory, sign_image
    from buildlib.usage import next_command

    if not context.config.signing.key:
        raise UsageError("no key to sign with", "add --key KEY, or set `signing.key`")
    with opened_signer(context) as signer:
        assert signer, "there is a key"
        results = []
        for word in split(path) or [str(context.dist)]:
            if is_reference(word):
                with console.busy(f"sign {word}"):
                    results += sign_image(context, signer, word)
            else:
                results.append(sign_directory(context, signer, Path(word)))
    signing_table.show(console, results, as_json=json)
    next_command.after_sign(context, results)
    return 0
