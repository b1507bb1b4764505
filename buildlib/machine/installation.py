"""Where this installation of buildlib comes from, so that hints and workflows name the same source.

PEP 610: pip writes direct_url.json for everything that it did not take from an index.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shlex import quote
from urllib.parse import unquote, urlsplit

# Not `buildlib`: the project of that name on the Python index is another one.
DISTRIBUTION = "cargo-buildlib"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What pip was given: a repository and commit, a directory, another address, or none of them (the index)."""

    repository: str = ""  # git+https://…, without commit
    commit: str = ""
    directory: Path | None = None
    editable: bool = False
    url: str = ""  # of an archive

    def requirement(self, *extras: str, relative_to: Path | None = None) -> tuple[str, ...]:
        """The words behind `pip install`. A directory is named relative to `relative_to`, if given."""
        brackets = f"[{','.join(extras)}]" if extras else ""
        if self.repository:
            return (f"{DISTRIBUTION}{brackets} @ {self.repository}@{self.commit}",)
        if self.directory:
            path = str(self.directory)
            if relative_to:
                relative = self.directory.relative_to(relative_to).as_posix()
                path = "." if relative == "." else f"./{relative}"
            return (*(("-e",) if self.editable else ()), f"{path}{brackets}")
        return (f"{DISTRIBUTION}{brackets} @ {self.url}",) if self.url else (f"{DISTRIBUTION}{brackets}",)


@cache
def source() -> Source:
    """The source of the running installation; the index where nothing else is recorded."""
    from importlib import metadata

    try:
        return read(metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "")
    except metadata.PackageNotFoundError:  # on PYTHONPATH, as in the container of `image --in-docker`
        return Source()


def read(text: str) -> Source:
    """The source that a direct_url.json describes; the index for a text that is not one."""
    try:
        record = json.loads(text)
        url = str(record["url"])
        parts = urlsplit(url)
        if "vcs_info" in record:
            return Source(
                repository=f"{record['vcs_info']['vcs']}+{_without_credentials(url)}", commit=record["vcs_info"]["commit_id"]
            )
        if "dir_info" in record:
            return Source(directory=Path(unquote(parts.path)), editable=bool(record["dir_info"].get("editable")))
        return Source(url=_without_credentials(url))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Source()


def _without_credentials(url: str) -> str:
    # pip leaves out passwords, but keeps ${NAME}: nothing before the @ belongs into a workflow or a log.
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def pip_install(*extras: str) -> str:
    """The command that installs this buildlib with more extras, from where it came."""
    return " ".join(("pip install", *(word if word == "-e" else quote(word) for word in source().requirement(*extras))))
