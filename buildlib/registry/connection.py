"""One connection to the gateway: forwards the requests of buildx and BuildKit, and returns the answers."""

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
from urllib.parse import parse_qs, urlsplit

from buildlib.failures.classify import RETRIES_EXHAUSTED
from buildlib.registry import uploads
from buildlib.registry.client import Client
from buildlib.registry.http import Answer, Request, body_text, denial
from buildlib.registry.origins import join

USER = "buildlib"
ROUTE = re.compile(r"/v2/(?P<registry>[^/]+)/(?P<rest>.+?/(?:manifests|blobs|tags|referrers)/.*)")
UPLOAD = re.compile(r"(?P<repository>.+)/blobs/uploads/(?P<id>[^/?]*)")
# Headers of an answer that are not forwarded: those of one hop (RFC 9110, 7.6.1), and those that the gateway sets.
NOT_FORWARDED = frozenset({
    "connection", "transfer-encoding", "keep-alive", "www-authenticate", "location", "content-length", "date", "server",
})  # fmt: skip
FORWARDED = ("Accept", "Range", "Content-Type", "If-None-Match")  # headers of a request that are forwarded
STATUS = {"rate-limited": 429, "auth": 403}  # HTTP status by the kind of a failure; all others become 424
# The error codes of the distribution specification; BuildKit prints them before the message.
CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 429: "TOOMANYREQUESTS"}
IN_MEMORY = 1 << 20  # bytes of an upload that are kept in memory; the rest is in a temporary file
# PLAIN matches a registry that can begin a repository's name once its colon is replaced. ENCODED matches what
# `encode_registry` makes of any other.
PLAIN = re.compile(r"[a-z0-9]+(?:(?:[._]|-+)[a-z0-9]+)*(?::[0-9]+)?")
ENCODED = re.compile(r"hex-([0-9a-f]+)")


@dataclass
class SharedState:
    """What all connections share: the client, the gateway's password, and the uploads that have begun."""

    client: Client
    password: str
    uploads: dict[str, IO[bytes]] = field(default_factory=dict)

    @property
    def authorization(self) -> str:
        """The Authorization header that the gateway requires."""
        return f"Basic {base64.b64encode(f'{USER}:{self.password}'.encode()).decode()}"


def encode_registry(registry: str) -> str:
    """A registry as the first part of a repository: 127.0.0.1:5000 -> 127.0.0.1__5000.

    A repository's name has neither colons nor brackets nor upper case, so [::1]:5000 is written as hex digits. No two
    registries get the same name: hex-<digits> cannot be a registry itself, because `localhost` is the only one without
    a dot and a port.
    """
    return registry.replace(":", "__") if PLAIN.fullmatch(registry) else f"hex-{registry.encode().hex()}"


def decode_registry(name: str) -> str:
    """The registry whose encoded name this is; the reverse of `encode_registry`."""
    match = ENCODED.fullmatch(name)
    with suppress(ValueError):
        return bytes.fromhex(match[1]).decode() if match else name.replace("__", ":")
    return name


class Connection(BaseHTTPRequestHandler):
    """One connection from buildx or BuildKit."""

    protocol_version = "HTTP/1.1"
    # Head and body are two packets; the second would wait 40 ms for the other side's acknowledgement.
    disable_nagle_algorithm = True
    gateway: SharedState  # set in a subclass: see `gateway._listen`

    def log_message(self, *_: Any) -> None:
        """Log nothing: failures are reported where a request fails."""

    def do_GET(self) -> None:
        """Serve one request, of any method."""
        try:
            self._serve()
        except (ConnectionError, TimeoutError):
            return  # the client has gone
        except OSError as error:  # an upload is kept on this machine's disk
            self.close_connection = True
            with suppress(ConnectionError, TimeoutError):
                self._respond(424, f"{error.strerror} (os error {error.errno}) in {tempfile.gettempdir()}")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        if not self._is_authorized():
            self.close_connection = True  # the request's body is not read
            return self._respond(401, "Unauthorized", {"WWW-Authenticate": 'Basic realm="buildlib"'})
        route = ROUTE.fullmatch(path)
        if path.rstrip("/") == "/v2":
            return self._respond(200, "OK")
        if not route:
            self.close_connection = True
            return self._respond(404, "Not Found")
        registry = decode_registry(route["registry"])
        upload = UPLOAD.fullmatch(route["rest"])
        if upload:
            return self._upload(registry, upload["repository"], upload["id"], parse_qs(query))
        return self._forward(registry, f"/v2/{route['rest']}{'?' if query else ''}{query}")

    def _is_authorized(self) -> bool:
        return secrets.compare_digest(
            self.headers.get("Authorization", "").encode(), self.gateway.authorization.encode()
        )

    # --- manifests and blobs -----------------------------------------------------------------------------------------

    def _forward(self, registry: str, path: str) -> None:
        headers = {name: ", ".join(self.headers.get_all(name) or ()) for name in FORWARDED if name in self.headers}
        body = b"".join(self._body()) if self.command in ("PUT", "POST") else None
        request, answer = self.gateway.client.reach(self.command, registry, path, headers, body)
        return self._return(request, answer) if answer.status < 400 else self._refuse(answer)

    def _return(self, request: Request, answer: Answer) -> None:
        response = answer.received
        headers = {name: value for name, value in response.headers.items() if name.lower() not in NOT_FORWARDED}
        length = response.headers.get("Content-Length")
        if length is None and self.command != "HEAD":
            self.close_connection = True
        self._head(response.status_code, response.reason, {**headers, **({"Content-Length": length} if length else {})})
        if self.command == "HEAD" or length == "0":
            response.close()
            return
        try:
            for chunk in self.gateway.client.read(request, answer):
                self.wfile.write(chunk)
        except ConnectionError:
            response.close()
            raise
        except OSError:  # reported already; clients handle half an answer
            self.close_connection = True

    def _refuse(self, answer: Answer) -> None:
        """Answer with the cause of a failure in the status line.

        Go's tools print all of that line, also for HEAD, whose answer has no body.
        """
        failure = answer.failure
        if failure:
            # Not 5xx: BuildKit would try again, but the gateway has used up all tries.
            wait = f" (retry-after: {failure.wait:.0f}s)" if failure.wait else ""
            exhausted = f"{RETRIES_EXHAUSTED}: " if failure.transient else ""
            return self._respond(STATUS.get(failure.kind, 424), f"{exhausted}{failure.cause}{wait}")
        response = answer.received
        body = body_text(response)
        if response.status_code == 401:  # a 401 would say that the gateway's own password is wrong
            return self._respond(403, denial(response, "Forbidden").cause, body=body)
        kind = {"Content-Type": response.headers.get("Content-Type", "application/json")}
        return self._respond(response.status_code, response.reason or "", kind, body)

    # --- uploads ---------------------------------------------------------------------------------------------------------

    def _upload(self, registry: str, repository: str, upload_id: str, query: Mapping[str, list[str]]) -> None:
        """Receive an upload as a whole before it is forwarded, so that forwarding can start again after a failure."""
        if self.command == "POST":
            return self._begin(registry, repository, query)
        if upload_id not in self.gateway.uploads or self.command not in ("PATCH", "PUT"):
            self.close_connection = True
            return self._respond(404, "Not Found")
        body = self.gateway.uploads[upload_id]
        for chunk in self._body():
            body.write(chunk)
        if self.command == "PATCH":
            location = self._location(registry, repository, upload_id)
            return self._respond(202, "Accepted", {**location, "Range": f"0-{max(0, body.tell() - 1)}"})
        body = self.gateway.uploads.pop(upload_id)
        answer = uploads.upload(self.gateway.client, registry, repository, body, query["digest"][0])
        return self._created(registry, answer)

    def _begin(self, registry: str, repository: str, query: Mapping[str, list[str]]) -> None:
        mounted = self._mount(registry, repository, query) if "mount" in query else None
        if mounted:
            return self._created(registry, mounted)
        upload_id = secrets.token_hex(16)
        body = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  closed with the gateway
        self.gateway.uploads[upload_id] = body
        headers = {**self._location(registry, repository, upload_id), "Docker-Upload-UUID": upload_id}
        return self._respond(202, "Accepted", headers)

    def _location(self, registry: str, repository: str, upload_id: str) -> dict[str, str]:
        return {"Location": f"/v2/{encode_registry(registry)}/{repository}/blobs/uploads/{upload_id}"}

    def _mount(self, registry: str, repository: str, query: Mapping[str, list[str]]) -> Answer | None:
        """Reuse a blob of another repository of the same registry; None if it must be uploaded.

        The parameter `from` names that repository as the gateway does: the encoded registry, then the repository.
        """
        other, _, source = query.get("from", [""])[0].partition("/")
        if decode_registry(other) != registry:
            return None
        return uploads.mount(self.gateway.client, registry, repository, query["mount"][0], source)

    def _created(self, registry: str, answer: Answer) -> None:
        """Answer that the registry has the blob, or why it does not."""
        if answer.failure or answer.status >= 400:
            return self._refuse(answer)
        answer.received.close()
        headers = answer.received.headers
        digest = {name: value for name, value in headers.items() if name.lower() == "docker-content-digest"}
        path = urlsplit(join("/", headers.get("Location", ""))).path.removeprefix("/v2/")
        return self._respond(201, "Created", {**digest, "Location": f"/v2/{encode_registry(registry)}/{path}"})

    # --- HTTP --------------------------------------------------------------------------------------------------------------

    def _body(self) -> Iterator[bytes]:
        """The request's body, which Go sends with a length, or in chunks if it does not know it."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := self._chunk_size():
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            chunk = self.rfile.read(min(left, IN_MEMORY))
            if not chunk:
                raise ConnectionError("the client has closed the connection during an upload")
            left -= len(chunk)
            yield chunk

    def _chunk_size(self) -> int:
        try:
            return int(self.rfile.readline().partition(b";")[0], 16)
        except ValueError:  # the connection was closed: there is no size
            raise ConnectionError("the client has closed the connection during an upload") from None

    def _head(self, status: int, reason: str, headers: Mapping[str, str]) -> None:
        self.send_response_only(status, re.sub(r"[^\x20-\x7e]", "?", reason)[:500])
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _respond(self, status: int, reason: str, headers: Mapping[str, str] | None = None, body: str = "") -> None:
        if not body and status >= 400:
            body = json.dumps({"errors": [{"code": CODES.get(status, "UNAVAILABLE"), "message": reason}]})
        data = body.encode()
        self._head(status, reason, {**(headers or {}), "Content-Length": str(len(data))})
        if self.command != "HEAD":
            self.wfile.write(data)
