"""The source from which this buildlib was installed, so that help texts and workflows name the same one.

PEP 610: pip writes direct_url.json for everything that it does not install from an index.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shlex import quote
from urllib.parse import unquote, urlsplit

# Not `buildlib`: the project of that name on the Python index is an unrelated one.
DISTRIBUTION = "cargo-buildlib"
# Names of query parameters whose values are credentials, among them those of signed URLs (S3, GCS, Azure).
SECRET_QUERY = re.compile(r"(token|signature|\bsig|secret|passw|credential|key|auth)[^=&]*=", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What pip installed: a repository at a commit, a directory, an archive, or none of these (a package from an index)."""

    repository: str = ""  # git+https://…, without commit
    commit: str = ""
    directory: Path | None = None
    editable: bool = False
    url: str = ""  # of an archive

    def requirement(self, *extras: str, relative_to: Path | None = None) -> tuple[str, ...]:
        """The arguments of `pip install`. A directory is named relative to `relative_to`, if given."""
        brackets = f"[{','.join(extras)}]" if extras else ""
        if self.repository:
            return (f"{DISTRIBUTION}{brackets} @ {self.repository}@{self.commit}",)
        if self.directory:
            path = str(self.directory)
            if relative_to:
                relative = Path(os.path.relpath(self.directory, relative_to)).as_posix()
                path = relative if relative == "." or relative.startswith("..") else f"./{relative}"
            return (*(("-e",) if self.editable else ()), f"{path}{brackets}")
        return (f"{DISTRIBUTION}{brackets} @ {self.url}",) if self.url else (f"{DISTRIBUTION}{brackets}",)


@cache
def source() -> Source:
    """The source of the running installation; the index if nothing else is recorded."""
    from importlib import metadata

    try:
        return read(metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "")
    except metadata.PackageNotFoundError:  # on PYTHONPATH, as in the container of `image --in-docker`
        return Source()


def read(text: str) -> Source:
    """The source that the text of a direct_url.json describes; the index if the text is not a valid one."""
    try:
        record = json.loads(text)
        url = _without_credentials(record["url"])
        if "vcs_info" in record:
            return Source(repository=f"{record['vcs_info']['vcs']}+{url}", commit=str(record["vcs_info"]["commit_id"]))
        if "dir_info" in record:
            path, editable = unquote(urlsplit(url).path), record["dir_info"].get("editable") is True
            return Source(directory=Path(path), editable=editable) if path else Source()
        return Source(url=url)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Source()


def _without_credentials(url: str) -> str:
    # pip removes passwords but keeps ${NAME}, and other installers may keep both. PEP 610 keeps the user `git`, which SSH needs.
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    query = "" if SECRET_QUERY.search(parts.query) else parts.query  # of a signed URL
    return parts._replace(netloc=f"git@{host}" if user == "git" else host, query=query).geturl()


def pip_install(*extras: str) -> str:
    """The command that installs this buildlib with more extras, from the same source."""
    return pip_command(source().requirement(*extras))


def pip_command(words: tuple[str, ...]) -> str:
    """`pip install` with the words of a requirement, for a shell."""
    return " ".join(("pip install", *(word if word == "-e" else quote(word) for word in words)))
