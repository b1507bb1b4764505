"""A request to a registry, and what came of it: an answer to be read, or the kind of failure that it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from buildlib.failures.classify import Failure, classify
from buildlib.registry.reference import is_loopback

PASSING = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
REPOSITORY = re.compile(r"^/v2/(.+)/(?:manifests|blobs|tags|referrers)/")

Body = bytes | IO[bytes] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to one host. `path` begins with /v2/, or is a whole address that the registry has given."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: Body = None

    @property
    def url(self) -> str:
        return self.path if "://" in self.path else f"{scheme(self.host)}://{self.host}{self.path}"

    @property
    def title(self) -> str:
        """Without what is behind the question mark: registries sign addresses there."""
        return f"{self.method} {self.url.partition('?')[0]}"

    @property
    def repository(self) -> str:
        found = REPOSITORY.match(urlsplit(self.url).path)
        return found[1] if found else ""

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: a response whose body is not read yet, or why there is none. `final`: its tries are used up."""

    response: requests.Response | None = None
    failure: Failure | None = None
    final: bool = False

    @property
    def status(self) -> int:
        """HTTP's, 999 without a response."""
        return self.response.status_code if self.response is not None else 999


def scheme(host: str) -> str:
    """Registries on the loopback speak plain HTTP, as Docker takes it there."""
    return "http" if is_loopback(host) else "https"


def network_failure(error: Exception, title: str = "") -> Failure:
    """What the network did. The words of an error that no rule reads are still those of a connection that broke."""
    cause: Any = error
    while (inner := getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)) and isinstance(
        inner, Exception
    ):
        cause = inner
    told = f"{title}: {error if isinstance(error, requests.exceptions.SSLError) else cause}".removeprefix(": ")
    # urllib3 names its objects, requests the host once more.
    told = re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>:? ?|HTTPS?Connection(Pool)?\([^)]*\): ?", "", told)
    # A host says something, a path is somebody's choice of words.
    failure = classify(re.sub(r"(://[^/\s]+)\S*", r"\1", f"{title}: {error}"))
    if failure.kind == "unknown" and not isinstance(error, requests.exceptions.SSLError):
        return Failure("transient-network", told, "check the network: buildlib doctor --network")
    return replace(failure, cause=told, line=None)


def transient_status(response: requests.Response, title: str) -> Failure | None:
    """What a status says that passes: 429 and 5xx, and the 403 of a limit."""
    status = response.status_code
    if status not in PASSING and status != 403:
        return None
    told = f"{title}: {status} {response.reason}"
    if status == 403 and not classify(f"{told}: {body_text(response)}").transient:
        return None
    response.close()
    kind = "rate-limited" if status in (403, 429) else "transient-network"
    return Failure(kind, told, wait=_retry_after(response.headers.get("Retry-After", "")))


def denial(response: requests.Response, title: str) -> Failure:
    """What a refusal says for itself."""
    try:
        said = str(json.loads(body_text(response))["errors"][0]["message"])
    except (ValueError, LookupError, TypeError):
        said = ""
    return Failure("auth", f"{title}: {response.status_code} {response.reason}: {said}".removesuffix(": "))


def body_text(response: requests.Response) -> str:
    """The body of a refusal, which is small; it can be asked for again."""
    try:
        return response.content.decode("utf-8", "replace")
    except (requests.RequestException, HTTPError, OSError):
        return ""


def range_of(headers: Mapping[str, str]) -> tuple[int, str]:
    """First and last byte that were asked for; from 0, and "" for the end, without a range."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range", ""))
    return (int(found[1]), found[2]) if found else (0, "")


def _retry_after(told: str) -> float | None:
    """Seconds from the header: a number, or a date."""
    if told.isdigit():
        return float(told)
    seconds = seconds_until(told)
    return None if seconds is None else max(0.0, seconds)


def seconds_until(told: str) -> float | None:
    """Seconds from now to an HTTP date (RFC 9110), negative when it has passed; None for what is no date."""
    try:
        return (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
