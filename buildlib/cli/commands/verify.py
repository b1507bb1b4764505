"""`verify`: the gate alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from buildlib.cli.entry import JSON, command, open_workspace, split, task
from buildlib.process.console import Console


@task(
    iterable=["path"],
    help={
        "path": "a file, a directory, or an image with tag or digest (docker://…); default: dist",
        "run": "also start the programs, isolated from this machine",
        "key": "the public key that must have signed all of it, such as cosign.pub; a file, or env://NAME",
        "glibc": "the newest glibc that files without a manifest, and programs of images, may require",
        "json": JSON,
    },
)
@command
def verify(
    c: Any, console: Console, path: list[str], run: bool = False, key: str = "", glibc: str = "", json: bool = False
) -> int:
    """The gate alone, on files, directories and images, and with --key their signatures. Nothing is started without --run."""
    from buildlib.binaries import verify as binaries
    from buildlib.image_gate import remote
    from buildlib.report import tables
    from buildlib.usage import next_command

    context = open_workspace(c, console, {"glibc": glibc}, scope="anywhere")
    words = split(path)
    public = None
    if key:
        from buildlib.signing import verify as signing
        from buildlib.signing.keys import public_key

        public = public_key(key, context.host.env)
    images = [word for word in words if remote.is_reference(word)]
    verdicts = []
    for word in images:
        with console.busy(f"verify {word}"):
            verdicts += remote.verify(context, word, signing.demand(context, public) if public else None)
    files = [Path(word) for word in words if word not in images] or ([] if images else [context.dist])
    if files and public is None:
        verdicts += binaries.verify(context, files, run=run)
    elif public:
        for file in files:
            verdicts += signing.of_directory(context, file, public, binaries.verify(context, [file], run=run))
    tables.verify(console, verdicts, as_json=json)
    next_command.after_verify(context, verdicts, is_dist=not words)
    return 6 if any(verdict.refusals for verdict in verdicts) else 0
