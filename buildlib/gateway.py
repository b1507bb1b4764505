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
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from buildlib.exchange import denial_of
from buildlib.failures import SPENT
from buildlib.registry import HUB, MANIFESTS, Client
from buildlib.relay import Office, Relay, alias, meant


@dataclass
class Gateway(Office):
    """That, and where it listens."""

    address: str = ""  # host:port

    def name(self, reference: str) -> str:
        """What an image is called by here: docker.io/library/debian:12 behind the gateway's address."""
        registry, path = normal(reference)
        return f"{self.address}/{alias(registry)}/{path}"

    def manifest(self, reference: str) -> bytes:
        """What a registry has under a reference that a person knows. OSError with the cause where it cannot be had."""
        registry, path = normal(reference)
        at = "@" if "@" in path else ":"
        repository, _, version = path.rpartition(at)
        path = f"/v2/{repository}/manifests/{version}"
        request, answer = self.client.reach("GET", registry, path, {"Accept": MANIFESTS})
        if answer.failure:
            raise OSError(f"{SPENT}: {answer.failure.cause}" if answer.failure.transient else answer.failure.cause)
        name = f"{registry}/{repository}{at}{version}"
        if answer.status != 200:
            said = denial_of(answer.response, request.title).cause  # reads all of it, so that the connection is free
            raise OSError(f"{name}: {'not found' if answer.status == 404 else said}")
        data = b"".join(self.client.read(request, answer))
        if at == "@" and hashlib.sha256(data).hexdigest() != version.removeprefix("sha256:"):
            raise OSError(f"{name}: what came is something else")
        return data

    def spoken(self, line: str) -> str:
        """A tool's line with the names that a person knows."""
        line = line.replace(f"http://{self.address}/v2/", "https://")
        return re.sub(rf"({re.escape(self.address)}/)([^/\s]+)", lambda found: meant(found[2]), line)


def normal(reference: str) -> tuple[str, str]:
    """Registry and path of a reference, as Docker reads it: debian:12 is docker.io and library/debian:12."""
    first, slash, rest = reference.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = HUB, reference
    if first == "index.docker.io":
        first = HUB
    return first, f"library/{rest}" if first == HUB and "/" not in rest else rest


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # BuildKit opens dozens of connections at once; five, the default, make some wait a second

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A tool that has what it wanted may reset its connections."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


PORTS = range(20000, 32000)  # below those that kernels give to clients


@contextmanager
def opened(client: Client, builder: str = "") -> Iterator[Gateway]:
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
    connection = type("Connection", (Relay,), {"gateway": gateway})
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


def private(folder: Path, real: Path, gateway: Gateway) -> dict[str, str]:
    """Variables that make docker and buildx see the person's own configuration, contexts and plugins, with one password more."""
    for entry in real.iterdir() if real.is_dir() else ():
        if entry.name != "config.json":
            (folder / entry.name).symlink_to(entry)
    told = (real / "config.json").read_text(encoding="utf-8") if (real / "config.json").exists() else ""
    (folder / "config.json").write_text(configuration(told, gateway), encoding="utf-8")
    (folder / "config.json").chmod(0o600)
    return {"DOCKER_CONFIG": str(folder), "BUILDX_CONFIG": str(real / "buildx")}
