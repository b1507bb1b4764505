"""A gateway on the loopback, between buildx and BuildKit on this side and registries on the other.

BuildKit repeats manifests and blobs for about seven seconds and a token request never, buildx's imagetools nothing at all; so a
build of dozens of requests fails where one in six of them does. Through here each request is tried again by itself, downloads go
on where they broke, uploads begin anew, and one token serves all processes of a run. It is open while one command runs, to who
knows a password that was made for it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from buildlib.failures.classify import RETRIES_EXHAUSTED
from buildlib.registry.client import MANIFESTS, Client
from buildlib.registry.connection import Connection, SharedState, decode_registry, encode_registry
from buildlib.registry.http import denial
from buildlib.registry.reference import parse


@dataclass
class Gateway(SharedState):
    """That, and where it listens."""

    address: str = ""  # host:port

    def name(self, reference: str) -> str:
        """What an image is called by here: docker.io/library/debian:12 behind the gateway's address."""
        image = parse(reference)
        return str(replace(image, registry=f"{self.address}/{encode_registry(image.registry)}"))

    def manifest(self, reference: str) -> bytes:
        """What a registry has under a reference that a person knows. OSError with the cause where it cannot be had."""
        image = parse(reference)
        path = f"/v2/{image.repository}/manifests/{image.version}"
        request, answer = self.client.reach("GET", image.registry, path, {"Accept": MANIFESTS})
        if answer.failure:
            raise OSError(f"{RETRIES_EXHAUSTED}: {answer.failure.cause}" if answer.failure.transient else answer.failure.cause)
        if answer.status != 200:
            said = denial(answer.response, request.title).cause  # reads all of it, so that the connection is free
            raise OSError(f"{image}: {'not found' if answer.status == 404 else said}")
        data = b"".join(self.client.read(request, answer))
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if image.digest and digest != image.digest:
            raise OSError(f"{image}: digest mismatch: got {digest}, expected {image.digest}")
        return data

    def translate(self, line: str) -> str:
        """A tool's line with the names that a person knows."""
        line = line.replace(f"http://{self.address}/v2/", "https://")
        return re.sub(rf"({re.escape(self.address)}/)([^/\s]+)", lambda found: decode_registry(found[2]), line)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # BuildKit opens dozens of connections at once; five, the default, make some wait a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A tool that has what it wanted may reset its connections."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


PORTS = range(20000, 32000)  # below those that kernels give to clients


@contextmanager
def open_gateway(client: Client, builder: str = "") -> Iterator[Gateway]:
    """A gateway that listens on the port of the builder's, if it is free: what BuildKit has cached knows images by their names,
    which have the port in them."""
    gateway = Gateway(client, secrets.token_urlsafe(32))
    server = _listening(PORTS[zlib.crc32(builder.encode()) % len(PORTS)] if builder else 0, gateway)
    gateway.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        for body in gateway.uploads.values():
            body.close()


def _listening(port: int, gateway: Gateway) -> Server:
    connection = type("Connection", (Connection,), {"gateway": gateway})
    try:
        return Server(("127.0.0.1", port), connection)
    except OSError:  # somebody else has it
        return Server(("127.0.0.1", 0), connection)


def configuration(told: str, gateway: Gateway) -> str:
    """Docker's config.json with the gateway's password. A credential store would be asked instead of the file: not for this."""
    try:
        config: Any = json.loads(told or "{}")
    except ValueError:
        config = {}
    config = config if isinstance(config, dict) else {}
    auth = {"auth": gateway.authorization.removeprefix("Basic ")}
    config["auths"] = {**(config.get("auths") or {}), gateway.address: auth}
    if config.get("credsStore") or config.get("credHelpers"):
        config["credHelpers"] = {**(config.get("credHelpers") or {}), gateway.address: ""}
    return json.dumps(config)


def docker_config(folder: Path, real: Path, gateway: Gateway) -> dict[str, str]:
    """Variables that make docker and buildx see the person's own configuration, contexts and plugins, with one password more."""
    for entry in real.iterdir() if real.is_dir() else ():
        if entry.name != "config.json":
            (folder / entry.name).symlink_to(entry)
    told = (real / "config.json").read_text(encoding="utf-8") if (real / "config.json").exists() else ""
    (folder / "config.json").write_text(configuration(told, gateway), encoding="utf-8")
    (folder / "config.json").chmod(0o600)
    return {"DOCKER_CONFIG": str(folder), "BUILDX_CONFIG": str(real / "buildx")}
