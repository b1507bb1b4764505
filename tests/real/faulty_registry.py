"""A proxy in front of a registry that demands a bearer token and injects faults, as a bad network or an overloaded registry does.

A share `rate` of all requests, token requests included, is answered with one of `kinds`, chosen by a seeded generator. The proxy
counts faults and refused requests, so that a test can assert how often something was requested again.

It can also be malicious (`misbehave`): change content, name another realm, redirect. `recording_host` is a host that has nothing to
do with the registry, and keeps what is sent to it.
"""

import json
import random
import secrets
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMON = ("reset", "503")  # the kinds that were first tried by hand; the ratios in the README are for these
ALL = ("reset", "500", "502", "503", "429", "cut", "slow", "hang")
HANG = 20.0  # seconds without a byte
SLOW = 0.3  # seconds; a delay, not a failure
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


class FaultyProxy(ThreadingHTTPServer):
    """The proxy's state: what to inject, the valid tokens, and counts of faults and refusals."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream, host="127.0.0.1", certificate=None):
        super().__init__((host, 0), Connection)
        self.upstream, self.scheme = upstream, "https" if certificate else "http"
        self.address = f"{host}:{self.server_address[1]}"
        self.lock, self.tokens = threading.Lock(), set()
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.inject(0.0)
        self.misbehave()

    def inject(self, rate, seed=0, kinds=COMMON, refuse=None, retry_after=1, referrers=""):
        """Set the faults and reset all counts.

        `refuse` maps a part of a path to (status, body): a permanent fault. `retry_after` is in seconds, for status 429.
        `referrers` is the kind of fault of each upload of a manifest with a subject, or the status that it is refused with.
        """
        self.rate, self.kinds, self.refused, self.retry_after = rate, kinds, refuse or {}, retry_after
        self.referrers = referrers
        self.random = random.Random(seed)
        self.faults, self.refusals = Counter(), Counter()

    def misbehave(self, *, changes=(), challenge=None, redirects=()):
        """Set what a malicious registry does, and forget who has asked.

        `changes` maps a part of a path to a function that changes the content under it, `redirects` maps it to a URL. `challenge` is
        the WWW-Authenticate header of all refusals, in which REALM and SCOPE stand for the right ones.
        """
        self.changes, self.challenge, self.redirects = dict(changes), challenge, dict(redirects)
        self.authorizations = []  # the Authorization header of each token request

    def next_fault(self):
        """The kind of fault of the next request, "" for none."""
        with self.lock:
            kind = self.random.choice(self.kinds) if self.random.random() < self.rate else ""
            self.faults[kind or "none"] += 1
            return kind

    def handle_error(self, *_):
        pass


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        with suppress(ConnectionError):
            self.serve()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def serve(self):
        server = self.server
        body = self.read_body()
        path = self.path.partition("?")[0]
        kind = server.next_fault()
        if server.referrers and self.command == "PUT" and "/manifests/" in path and "subject" in json.loads(body):
            server.refusals[f"{self.command} {path}"] += 1
            kind = server.referrers
        if kind in ("reset", "hang"):
            return self.reset(HANG if kind == "hang" else 0)
        if kind == "slow":
            time.sleep(SLOW)
        if kind.isdigit():
            headers = {"Retry-After": str(server.retry_after)} if kind == "429" else {}
            return self.respond(int(kind), {"errors": [{"code": "UNAVAILABLE"}]}, headers)
        for part, (status, refusal) in server.refused.items():
            if part in self.path:
                server.refusals[f"{self.command} {path}"] += 1
                return self.respond(status, refusal)
        if path == "/token":
            return self.give_token()
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in server.tokens:
            return self.demand_token(path)
        location = next((location for part, location in server.redirects.items() if part in self.path), "")
        return self.respond(307, {}, {"Location": location}) if location else self.forward(body, cut=kind == "cut")

    def give_token(self):
        self.server.authorizations.append(self.headers.get("Authorization"))
        token = secrets.token_hex(16)
        self.server.tokens.add(token)
        self.respond(200, {"token": token, "expires_in": 300})

    def demand_token(self, path):
        repository = path.removeprefix("/v2/").partition("/manifests/")[0].partition("/blobs/")[0]
        realm, scope = f"{self.server.scheme}://{self.server.address}/token", f"repository:{repository}:pull,push"
        challenge = self.server.challenge or 'Bearer realm="REALM",service="test",scope="SCOPE"'
        challenge = challenge.replace("REALM", realm).replace("SCOPE", scope)
        errors = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        self.respond(401, errors, {"WWW-Authenticate": challenge})

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def forward(self, body, *, cut):
        """Pass the request to the registry. `cut` sends half of the response's body and closes the connection."""
        upstream = HTTPConnection(self.server.upstream, timeout=60)
        dropped = HOP_BY_HOP | {"authorization"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        # The registry builds the URLs of its redirects from the Host header: with the proxy's name they lead here.
        upstream.request(self.command, self.path, body or None, headers | {"Host": self.server.address})
        response = upstream.getresponse()
        data = response.read()
        for part, change in self.server.changes.items() if self.command == "GET" else ():
            data = change(data) if part in self.path else data
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut
        upstream.close()

    def reset(self, seconds):
        """Close without a response after `seconds`. The kernel sends a reset for a socket that is closed without lingering."""
        time.sleep(seconds)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    def respond(self, status, body, headers=()):
        data = json.dumps(body).encode()
        self.send_response_only(status)
        defaults = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        for name, value in (defaults | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class RecordingHost(ThreadingHTTPServer):
    """A host on the loopback that keeps each request as (path, headers, body). `answers` maps a path to (status, headers, body)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Recording)
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.seen, self.answers = [], {}

    @property
    def secrets(self):
        """What was sent in a header or body for credentials."""
        kept = [headers.get("Authorization") or headers.get("Cookie") or body for _, headers, body in self.seen]
        return [secret for secret in kept if secret]


class Recording(Connection):
    def serve(self):
        path = self.path.partition("?")[0]
        self.server.seen.append((path, dict(self.headers), self.read_body()))
        status, headers, body = self.server.answers.get(path, (200, {}, b'{"token": "t"}'))
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(server):
    """Let a server answer until the end."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def recording_host():
    """A host that keeps what is sent to it."""
    return serving(RecordingHost())


def faulty_proxy(upstream, **options):
    """A proxy in front of the registry at `upstream` (host:port), without faults until `inject` or `misbehave` is called."""
    return serving(FaultyProxy(upstream, **options))
