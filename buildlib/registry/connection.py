"""One connection of the gateway's: what buildx and BuildKit ask, handed on, and what came of it, handed back."""

from __future__ import annotations

import base64
import json
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import IO, Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from buildlib.failures.classify import RETRIES_EXHAUSTED, classify
from buildlib.registry.client import Client
from buildlib.registry.http import Answer, Request, body_text, denial, scheme

USER = "buildlib"
NAMED = re.compile(r"/v2/(?P<registry>[^/]+)/(?P<rest>.+?/(?:manifests|blobs|tags|referrers)/.*)")
UPLOAD = re.compile(r"(?P<repository>.+)/blobs/uploads/(?P<id>[^/?]*)")
# What a hop keeps to itself (RFC 9110), and what this gateway says in its own words.
OWN = frozenset({
    "connection", "transfer-encoding", "keep-alive", "www-authenticate", "location", "content-length", "date", "server",
})  # fmt: skip
SENT = ("Accept", "Range", "Content-Type", "If-None-Match")
STATUS = {"rate-limited": 429, "auth": 403}  # of what a request failed of; others are 424
# The distribution specification's words for a status; BuildKit prints them before the message.
CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 429: "TOOMANYREQUESTS"}
SMALL = 1 << 20  # bytes of an upload that are kept in memory


@dataclass
class SharedState:
    """What all connections share: who asks registries, what lets one in, and uploads that have begun."""

    client: Client
    password: str
    uploads: dict[str, IO[bytes]] = field(default_factory=dict)

    @property
    def authorization(self) -> str:
        """What lets one in, as the header has it."""
        return f"Basic {base64.b64encode(f'{USER}:{self.password}'.encode()).decode()}"


def encode_registry(registry: str) -> str:
    """A registry in a path, where no colon may stand."""
    return registry.replace(":", "__")


def decode_registry(name: str) -> str:
    """The registry that goes by this alias."""
    return name.replace("__", ":")


class Connection(BaseHTTPRequestHandler):
    """One connection from buildx or BuildKit."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = (
        True  # head and body are two packets; the second would wait 40 ms for the other side's word
    )
    gateway: SharedState

    def log_message(self, *_: Any) -> None:
        """What matters is told where a request fails."""

    def do_GET(self) -> None:
        try:
            self._serve()
        except (ConnectionError, TimeoutError):
            return  # who asked has gone
        except OSError as error:  # an upload is kept on this machine's disk
            self.close_connection = True
            with suppress(ConnectionError, TimeoutError):
                self._say(424, f"{error.strerror} (os error {error.errno}) in {tempfile.gettempdir()}")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        if not self._may_come_in():
            self.close_connection = True  # its body is not read
            return self._say(401, "Unauthorized", {"WWW-Authenticate": 'Basic realm="buildlib"'})
        found = NAMED.fullmatch(path)
        if path.rstrip("/") == "/v2":
            return self._say(200, "OK")
        if not found:
            self.close_connection = True
            return self._say(404, "Not Found")
        registry = decode_registry(found["registry"])
        upload = UPLOAD.fullmatch(found["rest"])
        if upload:
            return self._upload(registry, upload["repository"], upload["id"], parse_qs(query))
        return self._pass_on(registry, f"/v2/{found['rest']}{'?' if query else ''}{query}")

    def _may_come_in(self) -> bool:
        return secrets.compare_digest(
            self.headers.get("Authorization", "").encode(), self.gateway.authorization.encode()
        )

    # --- manifests and blobs -----------------------------------------------------------------------------------------

    def _pass_on(self, registry: str, path: str) -> None:
        headers = {name: ", ".join(self.headers.get_all(name)) for name in SENT if name in self.headers}
        body = b"".join(self._body()) if self.command in ("PUT", "POST") else None
        request, answer = self.gateway.client.reach(self.command, registry, path, headers, body)
        return self._hand_over(request, answer) if answer.status < 400 else self._refuse(answer)

    def _hand_over(self, request: Request, answer: Answer) -> None:
        response = answer.response
        told = {name: value for name, value in response.headers.items() if name.lower() not in OWN}
        length = response.headers.get("Content-Length")
        if length is None and self.command != "HEAD":
            self.close_connection = True
        self._head(response.status_code, response.reason, {**told, **({"Content-Length": length} if length else {})})
        if self.command == "HEAD" or length == "0":
            return response.close()
        try:
            for chunk in self.gateway.client.read(request, answer):
                self.wfile.write(chunk)
        except ConnectionError:
            response.close()
            raise
        except OSError:  # told already; half an answer is one that the other side knows how to take
            self.close_connection = True

    def _refuse(self, answer: Answer) -> None:
        """The reason goes into the status line: Go's tools print it whole, also for HEAD, which has no body."""
        response, failure = answer.response, answer.failure
        if failure:
            # Not 5xx, which BuildKit would try again: all tries are used up.
            wait = f" (retry-after: {failure.wait:.0f}s)" if failure.wait else ""
            spent = f"{RETRIES_EXHAUSTED}: " if failure.transient else ""
            return self._say(STATUS.get(failure.kind, 424), f"{spent}{failure.cause}{wait}")
        told = body_text(response)
        reason = response.reason or ""
        if response.status_code == 401:  # our own password is right, so it is not asked for again
            return self._say(403, denial(response, "Forbidden").cause, body=told)
        kind = {"Content-Type": response.headers.get("Content-Type", "application/json")}
        return self._say(response.status_code, reason, kind, told)

    # --- uploads ---------------------------------------------------------------------------------------------------------

    def _upload(self, registry: str, repository: str, name: str, query: Mapping[str, list[str]]) -> None:
        """An upload is taken whole and then handed on, so that it can begin anew as often as it breaks."""
        if self.command == "POST":
            return self._begin(registry, repository, query)
        if name not in self.gateway.uploads or self.command not in ("PATCH", "PUT"):
            self.close_connection = True
            return self._say(404, "Not Found")
        body = self.gateway.uploads[name]
        for chunk in self._body():
            body.write(chunk)
        if self.command == "PATCH":
            place = self._place(registry, repository, name)
            return self._say(202, "Accepted", {**place, "Range": f"0-{max(0, body.tell() - 1)}"})
        answer = self._send(registry, repository, self.gateway.uploads.pop(name), query["digest"][0])
        return self._created(registry, answer)

    def _begin(self, registry: str, repository: str, query: Mapping[str, list[str]]) -> None:
        mounted = self._mount(registry, repository, query) if "mount" in query else None
        if mounted:
            return self._created(registry, mounted)
        name = secrets.token_hex(16)
        self.gateway.uploads[name] = tempfile.SpooledTemporaryFile(max_size=SMALL)  # noqa: SIM115  closed with the gateway
        return self._say(202, "Accepted", {**self._place(registry, repository, name), "Docker-Upload-UUID": name})

    def _place(self, registry: str, repository: str, name: str) -> dict[str, str]:
        return {"Location": f"/v2/{encode_registry(registry)}/{repository}/blobs/uploads/{name}"}

    def _mount(self, registry: str, repository: str, query: Mapping[str, list[str]]) -> Answer | None:
        """A blob that another repository of the same registry has, without an upload. Names are ours here."""
        other, _, source = query.get("from", [""])[0].partition("/")
        if decode_registry(other) != registry:
            return None
        asked = urlencode({"mount": query["mount"][0], "from": source})
        (host,) = self.gateway.client.hosts(registry, reading=False)
        answer = self.gateway.client.ask(
            Request(method="POST", host=host, path=f"/v2/{repository}/blobs/uploads/?{asked}", headers={})
        )
        return answer if answer.status == 201 else None

    def _created(self, registry: str, answer: Answer) -> None:
        if answer.failure or answer.status >= 400:
            return self._refuse(answer)
        answer.response.close()
        told = answer.response.headers
        digest = {name: value for name, value in told.items() if name.lower() == "docker-content-digest"}
        path = urlsplit(told.get("Location", "")).path.removeprefix("/v2/")
        return self._say(201, "Created", {**digest, "Location": f"/v2/{encode_registry(registry)}/{path}"})

    def _send(self, registry: str, repository: str, body: IO[bytes], digest: str) -> Answer:
        """Both requests of an upload; a place that was lost with the connection is not used again."""
        (host,) = self.gateway.client.hosts(registry, reading=False)
        client = self.gateway.client

        def whole(_: int) -> Answer:
            begun = client.ask(Request(method="POST", host=host, path=f"/v2/{repository}/blobs/uploads/", headers={}))
            if begun.status != 202:
                return Answer(begun.response, begun.failure, final=True)
            begun.response.close()
            place = urljoin(f"{scheme(host)}://{host}", begun.response.headers["Location"])
            place += f"{'&' if '?' in place else '?'}{urlencode({'digest': digest})}"
            kind = {"Content-Type": "application/octet-stream"}
            put = client.once(Request(method="PUT", host=urlsplit(place).netloc, path=place, headers=kind, body=body))
            if put.status == 404:  # it has forgotten that it was begun
                failure = classify(f"PUT {host}/{repository}: 404 Not Found: {body_text(put.response)}")
                return Answer(put.response, failure, final=not failure.transient)
            return put

        with body:
            return client.tried(f"upload to {host}/{repository}", whole)

    # --- words of HTTP -----------------------------------------------------------------------------------------------------

    def _body(self) -> Iterator[bytes]:
        """The request's body, which Go sends with a length, or in chunks when it does not know it."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := self._size_of_chunk():
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            chunk = self.rfile.read(min(left, SMALL))
            if not chunk:
                raise ConnectionError("an upload was cut")
            left -= len(chunk)
            yield chunk

    def _size_of_chunk(self) -> int:
        try:
            return int(self.rfile.readline().partition(b";")[0], 16)
        except ValueError:  # what breaks off has no size
            raise ConnectionError("an upload was cut") from None

    def _head(self, status: int, reason: str, headers: Mapping[str, str]) -> None:
        self.send_response_only(status, re.sub(r"[^\x20-\x7e]", "?", reason)[:500])
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _say(self, status: int, reason: str, headers: Mapping[str, str] | None = None, body: str = "") -> None:
        if not body and status >= 400:
            body = json.dumps({"errors": [{"code": CODES.get(status, "UNAVAILABLE"), "message": reason}]})
        data = body.encode()
        self._head(status, reason, {**(headers or {}), "Content-Length": str(len(data))})
        if self.command != "HEAD":
            self.wfile.write(data)
