"""A proxy in front of a registry that asks for a token and misbehaves, with a seed: what a bad network and a tired registry do.

A share `rate` of all requests, the token's as well, is answered by one of `kinds`. It also counts, so that a test can say how
often something was asked.
"""

import json
import random
import secrets
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HALF = ("reset", "503")  # what was tried by hand, and what ratios are told of
ALL = ("reset", "500", "502", "503", "429", "cut", "slow", "hang")
HANG = 20.0  # seconds without a word
SLOW = 0.3  # seconds; not a failure, a delay
HOP = {"connection", "transfer-encoding", "keep-alive"}


class Faulty(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream):
        super().__init__(("127.0.0.1", 0), Connection)
        self.upstream = upstream
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.lock, self.tokens = threading.Lock(), set()
        self.play(0.0)

    def play(self, rate, seed=0, kinds=HALF, refuse=None):
        """From now on. `refuse` maps a part of a path to (status, body): a fault that does not pass."""
        self.rate, self.kinds, self.refused = rate, kinds, refuse or {}
        self.dice, self.asked, self.faults, self.refusals = random.Random(seed), Counter(), Counter(), Counter()

    def fault(self):
        with self.lock:
            kind = self.dice.choice(self.kinds) if self.dice.random() < self.rate else ""
            self.faults[kind or "none"] += 1
            return kind

    def forget(self):
        """Every token that was given has run out."""
        self.tokens.clear()

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
        body = self.body()
        path = self.path.partition("?")[0]
        server.asked[f"{self.command} {path}"] += 1
        kind = server.fault()
        if kind in ("reset", "hang"):
            return self.hang_up(HANG if kind == "hang" else 0)
        if kind == "slow":
            time.sleep(SLOW)
        if kind.isdigit():
            return self.say(
                int(kind), {"errors": [{"code": "UNAVAILABLE"}]}, {"Retry-After": "1"} if kind == "429" else {}
            )
        for part, (status, told) in server.refused.items():
            if part in self.path:
                server.refusals[f"{self.command} {path}"] += 1
                return self.say(status, told)
        if path == "/token":
            token = secrets.token_hex(16)
            server.tokens.add(token)
            return self.say(200, {"token": token, "expires_in": 300})
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in server.tokens:
            repository = path.removeprefix("/v2/").partition("/manifests/")[0].partition("/blobs/")[0]
            challenge = (
                f'Bearer realm="http://{server.address}/token",service="test",scope="repository:{repository}:pull,push"'
            )
            return self.say(401, {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
                            {"WWW-Authenticate": challenge})  # fmt: skip
        return self.forward(body, cut=kind == "cut")

    def body(self):
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def forward(self, body, *, cut):
        upstream = HTTPConnection(self.server.upstream, timeout=60)
        # With its own name in Host the registry sends clients on to here.
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP | {"authorization"}}
        upstream.request(self.command, self.path, body or None, headers | {"Host": self.server.address})
        answer = upstream.getresponse()
        data = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header(
            "Content-Length", answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut
        upstream.close()

    def hang_up(self, seconds):
        """Without an answer: a reset, which the kernel sends for a socket that is closed without lingering."""
        time.sleep(seconds)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    def say(self, status, told, headers=()):
        data = json.dumps(told).encode()
        self.send_response_only(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **dict(headers),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def faulty(upstream):
    """The proxy before the registry at `upstream` (host:port); well behaved until it is told to `play`."""
    server = Faulty(upstream)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
