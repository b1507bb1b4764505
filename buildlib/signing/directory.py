"""The signature of dist/: one file, SHA256SUMS.sigstore.json, beside SHA256SUMS, which has the digest of every other file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from buildlib.binaries import dist
from buildlib.core.errors import NothingToDo, Refused
from buildlib.core.plan import Write
from buildlib.core.statements import NAMES
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.signing import bundles
from buildlib.signing.bundles import Invalid
from buildlib.signing.keys import PrivateKey, PublicKey


def sign(context: Context, folder: Path, key: PrivateKey) -> bool:
    """Sign the files that the manifest in `folder` lists. Returns whether there is a new signature.

    Raises:
        NothingToDo: The manifest lists no files.
        Refused: A file is not the one that passed the gate.
    """
    entries = dist.read(folder)
    if not entries:
        raise NothingToDo(f"{folder}: no binaries to sign", "run `buildlib build` first")
    changed = [
        file["path"] for entry in entries for file in dist.all_files_of(entry) if not dist.is_intact(folder, file)
    ]
    changed += _unlisted(folder, entries)
    if changed:
        raise Refused(f"{folder}: {', '.join(changed)}: not what passed the gate", "run `buildlib build`")
    sums, file = read_text(folder / dist.SUMS), folder / dist.SUMS_BUNDLE
    if file.is_file() and not _problem(file, sums, key.public):
        return False
    context.run(Write(path=file, text=bundles.sealed_file(sums.encode(), key).decode()))
    return True


def problems(folder: Path, key: PublicKey, required: Iterable[str]) -> list[str]:
    """What the key has not signed in `folder`, and which required documents are missing. One line each."""
    entries, sums = dist.read(folder), folder / dist.SUMS
    file = folder / dist.SUMS_BUNDLE
    if not file.is_file() or not sums.is_file():
        return [f"signature: none ({(file if sums.is_file() else sums).name} is missing)"]
    lines = []
    if problem := _problem(file, read_text(sums), key):
        lines.append(f"signature: {file.name}: {problem}")
    lines += [f"{path}: not in {dist.SUMS} with this digest" for path in _unlisted(folder, entries)]
    for name in required:
        absent = [entry["path"] for entry in entries if name in NAMES and name not in entry]
        lines += [f"{path}: no {name}" for path in absent]
        if name not in NAMES:
            lines.append(f"{name}: attestations of this type are in registries, not in directories")
    return lines


def _problem(file: Path, sums: str, key: PublicKey) -> str:
    """Why a bundle is not the key's signature of `sums`, "" if it is."""
    try:
        bundles.verify_file(file.read_bytes(), sums.encode(), key)
    except Invalid as error:
        return str(error)
    return ""


def digests(folder: Path) -> dict[str, str]:
    """The files that SHA256SUMS lists, and their digests; none without the file."""
    sums = folder / dist.SUMS
    lines = read_text(sums).splitlines() if sums.is_file() else []
    return {path: sha256 for sha256, _, path in (line.partition("  ") for line in lines)}


def _unlisted(folder: Path, entries: Iterable[dist.Entry]) -> list[str]:
    """The files of the manifest that are not in SHA256SUMS with the same digest."""
    listed = digests(folder)
    return [
        file["path"] for entry in entries for file in dist.all_files_of(entry) if listed.get(file["path"]) != file["sha256"]
    ]  # fmt: skip
