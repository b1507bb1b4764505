"""Parts of a build of two arches, as two machines have written them."""

import json

from image_workspace import add_binary

from buildlib import __version__
from buildlib.binaries import dist
from buildlib.elf import digest
from buildlib.shards.record import entry_digest

COMMIT = "a" * 40
ARCHES = ["amd64-musl", "armv7-musl"]
PARTS = [["amd64-musl"], ["armv7-musl"]]
SETTINGS = {"profile": "release", "features": []}


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def document(shard, files=None, entries=None, /, **changes):
    """shard.json of a machine that has built."""
    commands = {"build": {"settings": SETTINGS, "files": files or {}, "entries": entries or {}}}
    return {
        "schema": 1, "buildlib": __version__, "commit": COMMIT, "shard": shard, "arches": ARCHES, "parts": PARTS, "commands": commands,
        **changes,
    }  # fmt: skip


def part(folder, shard, /, **changes):
    """dist/ of a machine that has built its arch."""
    arch = PARTS[int(shard.partition("/")[0]) - 1][0]
    add_binary(folder, arch, "a", b"elf")
    files = {f"{arch}/a": digest(folder / arch / "a")}
    entries = {entry["path"]: entry_digest(entry) for entry in dist.read(folder)}
    write(folder / "shard" / "shard.json", json.dumps(document(shard, files, entries, **changes)).encode())
    return folder
