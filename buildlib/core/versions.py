"""Parse the version numbers that tools print."""

from __future__ import annotations

import re

Version = tuple[int, ...]


def version(text: str) -> Version:
    """The leading numbers of a version: "v20.10.24+dfsg1" is (20, 10, 24); () if the text does not begin with one."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(map(int, match[1].split("."))) if match else ()
