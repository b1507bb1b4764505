"""Names of images: registry, repository, tag and digest, as Docker reads them (model: go-containerregistry's pkg/name).

The grammar is that of github.com/distribution/reference. The defaults are Docker's: `debian` means docker.io/library/debian:latest.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from buildlib.core.errors import UsageError

HUB = "docker.io"
# Docker Hub answers under another name than the one in references.
HUB_HOST = "registry-1.docker.io"
HUB_ALIASES = (HUB, "index.docker.io", HUB_HOST)
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
MAX_REPOSITORY = 255  # characters, the limit of distribution/reference and go-containerregistry
MAX_PORT = 65535
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = re.compile(
    rf"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>{_LABEL}(?:\.{_LABEL})*))(?::(?P<port>[0-9]{{1,5}}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image in a registry. `tag` and `digest` are "" where the text has none."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.registry}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def version(self) -> str:
        """What identifies the manifest in a request: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def host(self) -> str:
        """The host that answers for the registry."""
        return host_of(self.registry)


def parse(text: str) -> Reference:
    """Parse a reference as Docker does. UsageError for a text that is not one."""
    rest, at, digest = text.removeprefix("docker://").partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _error(text, "write a digest as sha256: and 64 hex digits")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag or tag.endswith("]"):  # the colon belongs to a port, or to an IPv6 address
        name, tag = rest, ""
    elif not TAG.fullmatch(tag):
        raise _error(text, "a tag has letters, digits, _ . and -, at most 128")
    registry, repository = _split(name)
    if len(repository) > MAX_REPOSITORY:
        raise _error(text, f"a repository has at most {MAX_REPOSITORY} characters")
    if not _is_registry(registry) or not _REPOSITORY.fullmatch(repository):
        lower = f"; did you mean {text.lower()!r}?" if _REPOSITORY.fullmatch(repository.lower()) else ""
        raise _error(text, f"write it as ghcr.io/acme/app:1.0{lower}")
    return Reference(registry=registry, repository=repository, tag=tag, digest=digest)


def _error(text: str, help_text: str) -> UsageError:
    return UsageError(f"{text!r} is not an image reference", help_text)


def _split(name: str) -> tuple[str, str]:
    """Registry and repository: the first part is a registry if it has a dot or a colon, or is localhost."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = HUB, name
    registry = HUB if first in HUB_ALIASES else first
    return registry, f"library/{rest}" if registry == HUB and "/" not in rest else rest


def _is_registry(text: str) -> bool:
    match = _REGISTRY.fullmatch(text)
    if match is None or int(match["port"] or 0) > MAX_PORT:
        return False
    return match["ipv6"] is None or _address(match["ipv6"]) is not None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether `host`, with or without a port, is this machine. Registries there use plain HTTP, as Docker expects."""
    match = _REGISTRY.fullmatch(host.partition("/")[0])
    if match is None:
        return False
    name = match["ipv6"] or match["name"]
    address = _address(name)
    return name.lower() == "localhost" if address is None else address.is_loopback


def host_of(registry: str) -> str:
    """The host that answers for a registry."""
    return HUB_HOST if registry in HUB_ALIASES else registry
