"""`RUN --mount`, and files that ADD downloads: what a build needs beside its base images. Pure.

Model: instructions/commands_runmount.go, dockerfile2llb/convert_secrets.go, convert_ssh.go, convert_copy.go and dfgitutil/git_ref.go
of BuildKit's Dockerfile frontend.
"""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from buildlib.base_images.instructions import HEREDOC, Instruction, LineFault
from buildlib.base_images.words import Expanded, expand

FLAGS = frozenset({"readonly", "ro", "readwrite", "rw", "required"})  # fields without a value
SCP = re.compile(r"[A-Za-z0-9_-]+@[A-Za-z0-9.-]+:(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?")
SCRATCH = "scratch"
COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret that a RUN uses. `env` is the variable in which it gets it, "" for a file."""

    id: str
    line: int
    env: str = ""
    required: bool = False  # BuildKit runs the command without it otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Ssh:
    """An SSH agent or key that a RUN uses."""

    id: str
    line: int
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """Something that ADD downloads and whose content nothing in the Dockerfile fixes."""

    source: str  # as it is written, or with its variables replaced
    line: int


def sources(run: Instruction) -> list[str]:
    """The stages and images that a RUN mounts; `scratch` for a mount without one, as BuildKit looks for it.

    LineFault for a variable in one, which BuildKit does not expand there.
    """
    names = []
    for mount in run.values("mount"):
        name = ""
        for key, _, value in _fields(mount, run.line):
            if key == "from":
                name = value
        if "$" in name[:-1]:
            raise LineFault(run.line, f"--mount: from={name}: variables are not expanded here", FROM_HELP)
        names.append(name or SCRATCH)
    return names


FROM_HELP = "define a stage before it with FROM, which may have variables, and name that one"


def _fields(mount: str, line: int) -> list[tuple[str, bool, str]]:
    """The fields of a mount: key in lower case, whether there is a value, the value."""
    try:
        fields = next(csv.reader([mount], strict=True), [])
    except csv.Error as error:
        raise LineFault(line, f"--mount={mount}: {error}") from None
    triples = (field.partition("=") for field in fields)
    return [(key.lower(), bool(equals), value) for key, equals, value in triples]


def secrets_and_keys(run: Instruction, env: Mapping[str, str], escape: str) -> tuple[list[Secret], list[Ssh]]:
    """What a RUN gets from outside, with the variables of its stage replaced."""
    found: list[Secret] = []
    keys: list[Ssh] = []
    for mount in run.values("mount"):
        fields = {
            key: expand(value, env, escape).text if has_value else "true"
            for key, has_value, value in _fields(mount, run.line)
            if has_value or key in FLAGS
        }
        required = fields.get("required", "").lower() in ("1", "t", "true")
        match fields.get("type", "").lower():
            case "secret":
                target = fields.get("target") or fields.get("dst") or fields.get("destination", "")
                name = fields.get("source") or fields.get("src") or fields.get("id") or posixpath.basename(target)
                if not name:
                    raise LineFault(run.line, f"--mount={mount}: a secret needs id or target")
                variable = (fields["env"] or name) if "env" in fields else ""
                found.append(Secret(id=name, env=variable, required=required, line=run.line))
            case "ssh":
                keys.append(Ssh(id=fields.get("id") or "default", required=required, line=run.line))
    return found, keys


def unpinned(add: Instruction, env: Mapping[str, str], escape: str) -> list[RemoteFile]:
    """What an ADD downloads without a checksum or a commit.

    A source that begins with a variable without a known value counts, because it may be a URL: a base image may set it.
    """
    checksum = any(expand(value, env, escape).text for value in add.values("checksum"))
    files = []
    for source in add.listed()[:-1]:
        if HEREDOC.fullmatch(source):
            continue
        expanded = expand(source, env, escape)
        if not checksum and _changes(source, expanded):
            files.append(RemoteFile(source=source if expanded.unset else expanded.text, line=add.line))
    return files


def _changes(source: str, expanded: Expanded) -> bool:
    url = expanded.text
    if expanded.unset and source.startswith("$"):
        return True
    scp = SCP.fullmatch(url)
    if scp:
        return not _has_commit(scp["query"] or "", scp["fragment"] or "")
    if not url.startswith(("http://", "https://", "git://", "ssh://")):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    is_git = parts.scheme in ("git", "ssh") or parts.path.endswith(".git")
    return not (is_git and _has_commit(parts.query, parts.fragment))


def _has_commit(query: str, fragment: str) -> bool:
    names = parse_qs(query)
    return bool(
        COMMIT.fullmatch(fragment.partition(":")[0])
        or any(COMMIT.fullmatch(value) for name in ("checksum", "commit", "ref") for value in names.get(name, ()))
    )
