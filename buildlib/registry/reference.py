"""Names of images: registry, repository, tag and digest, as Docker reads them (model: go-containerregistry's pkg/name).

The grammar is the distribution specification's; the defaults are Docker's: `debian` means docker.io/library/debian:latest.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from buildlib.core.errors import UsageError

HUB = "docker.io"
# Docker Hub answers under another name than it is called by.
HUB_HOST = "registry-1.docker.io"
HUB_ALIASES = ("docker.io", "index.docker.io", HUB_HOST)
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image in a registry. `tag` and `digest` are "" where the text names none."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def version(self) -> str:
        """What a manifest is asked for by: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def host(self) -> str:
        """The host that answers for the registry."""
        return HUB_HOST if self.registry == HUB else self.registry


def parse(text: str) -> Reference:
    """The reference that `text` means to Docker. UsageError for what is not one."""
    rest, at, digest = text.removeprefix("docker://").partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise UsageError(f"{text!r} is not an image reference", "write a digest as sha256: and 64 hex digits")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # the colon is a port's
        name, tag = rest, ""
    elif not TAG.fullmatch(tag):
        raise UsageError(f"{text!r} is not an image reference", "a tag has letters, digits, _ . and -, at most 128")
    registry, repository = _split(name)
    if not _HOST.fullmatch(registry) or not _REPOSITORY.fullmatch(repository):
        lower = f"; did you mean {text.lower()!r}?" if _REPOSITORY.fullmatch(repository.lower()) else ""
        raise UsageError(f"{text!r} is not an image reference", f"write it as ghcr.io/acme/app:1.0{lower}")
    return Reference(registry=registry, repository=repository, tag=tag, digest=digest)


def _split(name: str) -> tuple[str, str]:
    """Registry and repository: the first part is a registry if it has a dot or a colon, or is localhost."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = HUB, name
    registry = HUB if first in HUB_ALIASES else first
    return registry, f"library/{rest}" if registry == HUB and "/" not in rest else rest


def is_loopback(host: str) -> bool:
    """Whether `host`, with or without a port, is this machine. Registries there speak plain HTTP, as Docker expects."""
    name = host.partition("/")[0]
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def host_of(registry: str) -> str:
    """The host that answers for a registry."""
    return HUB_HOST if registry in HUB_ALIASES else registry
