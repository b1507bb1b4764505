"""A gateway on the loopback between buildx and BuildKit, and the registries.

BuildKit repeats requests for manifests and blobs for about seven seconds and token requests never; buildx's imagetools repeats
nothing. So a build of dozens of requests fails on a network where one in six of them does. The gateway retries each request by
itself, resumes downloads where they broke, restarts uploads, and shares one token between all processes of a command. It is open
while one command runs, for clients that know a password made for it.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from buildlib.failures.classify import RETRIES_EXHAUSTED
from buildlib.registry.client import MANIFESTS, Client
from buildlib.registry.connection import Connection, SharedState, decode_registry, encode_registry
from buildlib.registry.content import read_manifest
from buildlib.registry.http import denial, scheme
from buildlib.registry.reference import parse


@dataclass
class Gateway(SharedState):
    """Shared state plus the address that the gateway listens on."""

    address: str = ""  # host:port

    def name(self, reference: str) -> str:
        """The gateway's name for an image: its address, then docker.io/library/debian:12."""
        image = parse(reference)
        return str(replace(image, registry=f"{self.address}/{encode_registry(image.registry)}"))

    def manifest(self, reference: str) -> bytes:
        """The manifest of an image, given the user's name for it.

        OSError with the cause if it cannot be read, Refused if it is something else than a digest says.
        """
        image = parse(reference)
        path = f"/v2/{image.repository}/manifests/{image.version}"
        request, answer = self.client.reach("GET", image.registry, path, {"Accept": MANIFESTS})
        if answer.failure:
            cause = answer.failure.cause
            raise OSError(f"{RETRIES_EXHAUSTED}: {cause}" if answer.failure.transient else cause)
        if answer.status != 200:
            cause = denial(answer.received, request.title).cause  # reads all of it, so that the connection is free
            raise OSError(f"{image}: {'not found' if answer.status == 404 else cause}")
        return read_manifest(self.client.read(request, answer), answer, str(image), image.digest)

    def translate(self, line: str) -> str:
        """A tool's line with the gateway's names and URLs replaced by those that the user knows."""

        def original(match: re.Match[str]) -> str:
            registry = decode_registry(match["registry"])
            return f"{scheme(registry)}://{registry}" if match["url"] else registry

        address = re.escape(self.address)
        return re.sub(rf"(?:(?P<url>http://{address}/v2/)|{address}/)(?P<registry>[^/\s]+)", original, line)


class Server(ThreadingHTTPServer):
    """One thread for each connection."""

    daemon_threads = True
    request_queue_size = 128  # BuildKit opens dozens of connections at once; with 5, the default, some wait a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that the client has closed; Go's tools reset those that they do not need any more."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


PORTS = range(20000, 32000)  # below the ephemeral ports of Linux (32768 to 60999)


@contextmanager
def open_gateway(client: Client, builder: str = "") -> Iterator[Gateway]:
    """Open a gateway on the port that belongs to the builder's name, if it is free; "" takes any port.

    BuildKit's cache refers to images by name, and the port is part of the gateway's names.
    """
    gateway = Gateway(client, secrets.token_urlsafe(32))
    server = _listen(PORTS[zlib.crc32(builder.encode()) % len(PORTS)] if builder else 0, gateway)
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


def _listen(port: int, gateway: Gateway) -> Server:
    connection = type("Connection", (Connection,), {"gateway": gateway})
    try:
        return Server(("127.0.0.1", port), connection)
    except OSError:  # another process uses the port
        return Server(("127.0.0.1", 0), connection)


def configuration(text: str, gateway: Gateway) -> str:
    """Docker's config.json with the gateway's password added.

    docker asks a credential store instead of the file; the gateway's address is excluded from that.
    """
    try:
        config: Any = json.loads(text or "{}")
    except (ValueError, RecursionError):
        config = {}
    config = config if isinstance(config, dict) else {}
    auth = {"auth": gateway.authorization.removeprefix("Basic ")}
    config["auths"] = {**_table(config.get("auths")), gateway.address: auth}
    if config.get("credsStore") or config.get("credHelpers"):
        config["credHelpers"] = {**_table(config.get("credHelpers")), gateway.address: ""}
    return json.dumps(config)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def docker_config(folder: Path, real: Path, gateway: Gateway, buildx: str = "") -> dict[str, str]:
    """Make `folder` a copy of the user's docker configuration with the gateway's password; contexts and plugins are linked.

    `buildx` is the user's BUILDX_CONFIG, the directory in which buildx keeps its builders. Returns the environment variables that
    make docker and buildx use both.
    """
    with suppress(OSError):  # docker could not read it either
        for entry in real.absolute().iterdir():
            if entry.name != "config.json":
                (folder / entry.name).symlink_to(entry)
    try:
        text = (real / "config.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    (folder / "config.json").write_text(configuration(text, gateway), encoding="utf-8")
    (folder / "config.json").chmod(0o600)
    return {"DOCKER_CONFIG": str(folder), "BUILDX_CONFIG": buildx or str(real.absolute() / "buildx")}
