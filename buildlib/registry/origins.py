"""Which URLs that a registry names are requested, and which of them may get its credentials. Pure.

A registry names URLs in redirects, as the realm of a challenge, and as the location of an upload. Whoever controls one of its
answers would otherwise choose where a password goes, and which services of this machine's network get requests. The rules are
those of go-containerregistry: `validateRealmURL` in pkg/v1/remote/transport/bearer.go, `checkRedirectSSRF` in
pkg/v1/remote/fetcher.go. What differs is stated below.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin

from buildlib.registry.reference import MAX_PORT, is_loopback

PORTS = {"http": 80, "https": 443}
# Only what all parsers read alike: with user information, a backslash or a space, the host of requests is another one than
# that of urllib.parse. Host names of storage have underscores.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?:[/?#][!-\[\]-~]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL: what credentials belong to."""

    scheme: str
    host: str
    port: int

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sent there is encrypted."""
        return self.scheme == "https"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        return is_loopback(self.host)

    @property
    def is_local(self) -> bool:
        """Whether the host is an address of this machine or its link, or a name that is always one (RFC 6761, 6.3)."""
        address = self._address
        if address is None:
            return f".{self.host.removesuffix('.')}".endswith(".localhost")
        return address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast

    @property
    def is_private(self) -> bool:
        """Whether the host is such an address, or one of a private network."""
        return self.is_local or (self._address is not None and not self._address.is_global)

    @property
    def _address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        text = self.host.strip("[]").removesuffix(".")
        with suppress(OSError):  # the resolver reads 127.1, 0x7f.1 and 2130706433 as addresses too (inet_aton(3))
            text = socket.inet_ntoa(socket.inet_aton(text))
        with suppress(ValueError):
            address = ipaddress.ip_address(text)
            return getattr(address, "ipv4_mapped", None) or address
        return None


def origin_of(url: str) -> Origin | None:
    """The origin of a complete http or https URL; None for any other text."""
    match = _URL.fullmatch(url)
    if match is None or not _is_host(match["host"]):
        return None
    scheme = match["scheme"].lower()
    port = int(match["port"] or PORTS[scheme])
    return Origin(scheme, match["host"].lower(), port) if port <= MAX_PORT else None


def _is_host(text: str) -> bool:
    """Whether what is in brackets is an address of IPv6."""
    if not text.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(text.strip("[]"))
    except ValueError:
        return False
    return True


def join(url: str, location: str) -> str:
    """The URL that a Location header in the answer to a request for `url` means; "" for one that is not a URL."""
    try:
        return urljoin(url, location)
    except ValueError:  # brackets that are not closed
        return ""


def refuse_url(registry: Origin, url: str) -> str:
    """Why a URL that a registry names in a redirect, or for an upload, is not requested; "" if it is.

    Nothing is said about credentials. No registry on the network has a reason to name an address of this machine or its link:
    cloud machines, for one, give out their credentials at 169.254.169.254. A registry that stores its blobs at an address of
    its private network is allowed to, but not by go-containerregistry.
    """
    target = origin_of(url)
    if target is None:
        return "not an http or https URL"
    if target.is_local and not registry.is_loopback and target.host != registry.host:
        return f"{target.host} is an address of this machine or its link"
    return ""


def refuse_realm(registry: Origin, realm: str) -> str:
    """Why a registry's credentials are not sent to the realm that it names; "" if they are.

    The realm may be another host, also of another domain (Scaleway's rg.fr-par.scw.cloud names api.scaleway.com, which
    go-containerregistry refuses), but only over https; over http it has to be this machine, and so does the registry.
    """
    target = origin_of(realm)
    if target is None:
        return refuse_url(registry, realm)
    if not target.is_encrypted and not (target.is_loopback and registry.is_loopback):
        return "a password would be sent unencrypted"
    if target.is_private and not registry.is_private and target.host != registry.host:
        return f"{target.host} is an address of a private network"
    return refuse_url(registry, realm)


def upload_url(registry: str, location: str) -> tuple[str, str]:
    """The URL that takes the content of an upload, and why nothing is sent there, "" if it is.

    `registry` is the URL of the registry, without a path; `location` is what it has answered. A proxy that ends TLS may let the
    registry name itself with http.
    """
    url = join(registry, location) if location else ""
    plain = f"{registry.replace('https://', 'http://', 1)}/"
    if url.startswith(plain):
        url = f"{registry}/{url.removeprefix(plain)}"
    origin, target = origin_of(registry), origin_of(url)
    if origin is None or target is None:
        return url, "not an http or https URL"
    if not target.is_encrypted and not target.is_loopback:
        return url, "the content would be sent unencrypted"
    return url, refuse_url(origin, url)
