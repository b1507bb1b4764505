"""A request to a registry, and its answer: a response whose body can be read, or a classified failure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, LocationValueError

from buildlib.failures.classify import Failure, classify
from buildlib.registry.origins import Origin, join, origin_of, refuse_url
from buildlib.registry.reference import is_loopback

# 408, 429 and 5xx, without those that a retry does not change (501, 505, …); 520 to 524 are Cloudflare's.
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
REPOSITORY = re.compile(r"^/v2/(.+)/(?:manifests|blobs|tags|referrers)/")
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Bytes of an error or a token that are read: containers/image allows 1 MB for either (internal/iolimits), and 4 MB for the
# manifests that `doctor` reads in the same way.
MAX_TEXT = 4 << 20
CHUNK = 1 << 18  # bytes
# What is wrong with the request itself: no other try helps.
INVALID = (
    requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader, LocationValueError, UnicodeError,
)  # fmt: skip

Body = bytes | IO[bytes] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to one host. `path` begins with /v2/, or is a complete URL from the registry (`Location`, `realm`)."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: Body = None

    @property
    def url(self) -> str:
        """The complete URL."""
        return f"{scheme(self.host)}://{self.host}{self.path}" if self.path.startswith("/") else self.path

    @property
    def origin(self) -> Origin | None:
        """Where it is sent; None for something that is not an http or https URL."""
        return origin_of(self.url)

    @property
    def may_authorize(self) -> bool:
        """Whether credentials may go with it: they are encrypted, or stay on this machine."""
        return self.origin is not None and (self.origin.is_encrypted or self.origin.is_loopback)

    @property
    def title(self) -> str:
        """Method and URL for messages, without the query: registries put signatures there."""
        return f"{self.method} {self.url.partition('?')[0]}"

    @property
    def repository(self) -> str:
        """The repository that the request is about, "" for another request."""
        match = REPOSITORY.match(urlsplit(self.url).path)
        return match[1] if match else ""

    @property
    def writes(self) -> bool:
        """Whether the request changes something."""
        return self.method not in ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: a response whose body is not read yet, or a failure. `final`: it is not tried again."""

    response: requests.Response | None = None
    failure: Failure | None = None
    final: bool = False

    @property
    def status(self) -> int:
        """The HTTP status; 999 without a response."""
        return 999 if self.response is None else self.response.status_code

    @property
    def received(self) -> requests.Response:
        """The response of an answer that has one: its `failure` is None, or its `status` is not 999."""
        assert self.response is not None, self.failure
        return self.response


def scheme(host: str) -> str:
    """Registries on the loopback use plain HTTP, as Docker expects."""
    return "http" if is_loopback(host) else "https"


def redirected(request: Request, status: int, location: str) -> Request | Failure:
    """The request that follows a redirect with this status and Location header, or why it is not sent.

    requests follows none (`client`), because it reads ~/.netrc for each. Methods change as in the Fetch standard (4.4, HTTP-redirect
    fetch). The Authorization header stays with its origin. So does a body: it may be an identity token.
    """
    url = join(request.url, location)
    same_origin = request.origin is not None and origin_of(url) == request.origin
    becomes_get = request.method == "POST" if status in (301, 302) else status == 303 and request.method != "HEAD"
    refusal = "not an http or https URL" if request.origin is None else refuse_url(request.origin, url)
    if not refusal and request.body is not None and not becomes_get and not same_origin:
        refusal = "an upload stays at its host"
    if refusal:
        return Failure(
            "unknown", f"{request.title}: redirect to {url.partition('?')[0] or location!r} refused: {refusal}"
        )
    dropped = {"" if same_origin else "authorization", "content-type" if becomes_get else ""}
    headers = {name: value for name, value in request.headers.items() if name.lower() not in dropped}
    following = replace(request, host=urlsplit(url).netloc, path=url, headers=headers)
    return replace(following, method="GET", body=None) if becomes_get else following


def network_failure(error: Exception, title: str = "") -> Failure:
    """Map an exception of requests, urllib3 or a socket to a Failure. One that no rule matches is a broken connection."""
    if isinstance(error, INVALID):
        return Failure("unknown", f"{title}: {error}".removeprefix(": "))
    cause: object = error
    while isinstance(cause, Exception):
        inner = getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)
        if not isinstance(inner, Exception):
            break
        cause = inner
    is_tls = isinstance(error, requests.exceptions.SSLError)
    text = f"{title}: {error if is_tls else cause}".removeprefix(": ")
    # urllib3 prints its objects, requests repeats the host.
    text = re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>:? ?|HTTPS?Connection(Pool)?\([^)]*\): ?", "", text)
    # Rules may match the host, but not the path, which has names that users have chosen.
    failure = classify(re.sub(r"(://[^/\s]+)\S*", r"\1", f"{title}: {error}"))
    if failure.kind == "unknown" and not is_tls:
        return Failure("transient-network", text, "check the network: buildlib doctor --network")
    return replace(failure, cause=text, line=None)


def transient_status(response: requests.Response, title: str) -> Failure | None:
    """Map a transient HTTP status to a Failure: 408, 429, 5xx, and a 403 that states a rate limit. None for any other."""
    status = response.status_code
    if status not in TRANSIENT and status != 403:
        return None
    cause = f"{title}: {status} {response.reason}"
    if status == 403 and not classify(f"{cause}: {body_text(response)}").transient:
        return None
    response.close()
    kind = "rate-limited" if status in (403, 429) else "transient-network"
    return Failure(kind, cause, wait=_retry_after(response.headers.get("Retry-After", "")))


def denial(response: requests.Response, title: str) -> Failure:
    """The Failure of a refused request, with the registry's own message if it has one."""
    try:
        message = str(json.loads(body_text(response))["errors"][0]["message"])
    except (ValueError, LookupError, TypeError):
        message = ""
    return Failure("auth", f"{title}: {response.status_code} {response.reason}: {message}".removesuffix(": "))


def body_text(response: requests.Response) -> str:
    """The body of a small response, such as an error; "" if it cannot be read. May be called more than once.

    No more than MAX_TEXT bytes are read.
    """
    kept = vars(response)  # a body can be read only once
    if "body_text" not in kept:
        kept["body_text"] = _read_text(response)
    return str(kept["body_text"])


def _read_text(response: requests.Response) -> str:
    data = bytearray()
    try:
        for chunk in response.iter_content(CHUNK):
            data += chunk
            if len(data) >= MAX_TEXT:
                response.close()
                break
    except (requests.RequestException, HTTPError, OSError):
        return ""
    return data[:MAX_TEXT].decode("utf-8", "replace")


def range_of(headers: Mapping[str, str]) -> tuple[int, str]:
    """The first and last byte of a Range header; (0, "") without one, "" is the end."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range", ""))
    return (int(match[1]), match[2]) if match else (0, "")


def _retry_after(value: str) -> float | None:
    """Seconds from a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if value.isdecimal():
        return float(value)
    seconds = seconds_until(value)
    return None if seconds is None else max(0.0, seconds)


def seconds_until(date: str) -> float | None:
    """Seconds from now to an HTTP date (RFC 9110, 5.6.7), negative for the past; None for a text that is not a date."""
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
