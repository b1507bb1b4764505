"""Connect to each registry once, without retries, and time each step: from this machine, and from inside the builder."""

from __future__ import annotations

import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, parse_dict_header

from buildlib.assembly import spec
from buildlib.builder import builder_commands, buildx
from buildlib.core.errors import BuildError, Refused
from buildlib.core.plan import Step, Write
from buildlib.core.settings import Retry
from buildlib.doctor import network
from buildlib.doctor.network import THIS_MACHINE, ConnectionStep, Endpoint, NetworkReport
from buildlib.failures.classify import Failure
from buildlib.images import binary_image, dockerfile, dockerfile_image
from buildlib.images.bases import external
from buildlib.machine import docker_daemon
from buildlib.process.context import Context
from buildlib.process.retry import Budget
from buildlib.registry.client import MANIFESTS, Client
from buildlib.registry.digests import MAX_DOCUMENT, is_known, verified
from buildlib.registry.http import Answer, Request, body_text, network_failure, scheme, seconds_until
from buildlib.registry.reference import parse
from buildlib.registry.tokens import read_token

TIMEOUT = 10.0  # seconds to connect from this machine
CHUNK = 1 << 16  # bytes
BUILDER_TIMEOUT = 60.0  # seconds for BuildKit, which retries by itself for a while


def probe_network(context: Context) -> NetworkReport:
    """Take all steps to all registries and mirrors that the settings name.

    A missing builder is a warning, and the steps from it are left out.
    """
    observations = _Observations()
    once = Retry(attempts=1, delay=0.0, max_delay=0.0, total=0.0)
    client = Client(Budget(once), time.sleep, lambda *_: None, bundle=context.run.env.get("SSL_CERT_FILE", ""),
                    mirrors={}, login=docker_daemon.login(context.run.env, context.console.warn))  # fmt: skip
    targets = endpoints(context)
    steps = [step for endpoint in targets for step in _from_this_machine(client, endpoint, observations)]
    steps += _from_builder(context, tuple(dict.fromkeys(endpoint.host for endpoint in targets)))
    return NetworkReport(
        steps=tuple(steps),
        skew=observations.skew,
        left=observations.left,
        env=context.run.env,
        network=context.config.builder.network,
    )


def endpoints(context: Context) -> tuple[Endpoint, ...]:
    """The registries of base images, with their mirrors, and the one that images are pushed to; each once."""
    mirrors = context.config.builder.hosts()
    components = context.selection.components if context.workspace.has_rust else ()
    bases = [binary_image.stage_of(context, component).base or dockerfile.DEFAULT_BASE for component in components]
    for name in context.config.images:
        bases += external(context, name)
    pushed = {component.name: component.tag for component in components}
    pushed |= dict.fromkeys(context.config.images, dockerfile_image.TAG)
    in_use: list[Endpoint] = []
    for base in bases:
        if base != "scratch":
            image = parse(base)
            hosts = (*mirrors.get(image.registry, ()), image.host)
            in_use += [Endpoint(host=host, repository=image.repository, tag=image.version) for host in hosts]
    for name, version in pushed.items() if context.config.registry else ():
        image = parse(f"{spec.registry(context)}/{name.lower()}")
        in_use.append(Endpoint(host=image.host, repository=image.repository, tag=version, writes=True))
    # The first component stands for all that are pushed to the same host.
    return tuple({(endpoint.host, endpoint.writes): endpoint for endpoint in reversed(in_use)}.values())[::-1]


class _Observations:
    """What the headers of all responses show besides the answers."""

    def __init__(self) -> None:
        self.skew = 0.0  # seconds that this clock is ahead
        self.left: int | None = None  # requests of a rate limit

    def read(self, headers: Mapping[str, str]) -> None:
        until = seconds_until(headers.get("Date", ""))
        self.skew = self.skew if until is None else -until
        limit = headers.get("ratelimit-remaining", "").partition(";")[0]
        self.left = int(limit) if limit.isdigit() else self.left


# --- from this machine ---------------------------------------------------------------------------------------------------


Result = tuple[Failure | None, str]  # why a step failed, None if it did not; and a note


def _from_this_machine(client: Client, endpoint: Endpoint, observations: _Observations) -> Iterator[ConnectionStep]:
    """The steps in order, up to the first that fails."""
    for name, step in _steps(client, endpoint, observations):
        began = time.monotonic()
        try:
            failure, note = step()
        except OSError as error:
            failure, note = network_failure(error, f"{endpoint.host}: {name}"), ""
        seconds = time.monotonic() - began
        yield ConnectionStep(
            where=THIS_MACHINE, host=endpoint.host, name=name, seconds=seconds, failure=failure, note=note
        )
        if failure:
            return


def _steps(
    client: Client, endpoint: Endpoint, observations: _Observations
) -> Iterator[tuple[str, Callable[[], Result]]]:
    protocol = scheme(endpoint.host)
    proxy = get_environ_proxies(f"{protocol}://{endpoint.host}").get(protocol)
    if not proxy:  # otherwise the proxy looks names up and connects
        yield from _connection(client, endpoint.host)
    requests = _Requests(client, endpoint, observations, f"through {urlsplit(proxy).hostname}" if proxy else "")
    yield "answer", requests.answer
    if requests.challenge:
        yield "token", requests.token
    yield "manifest", requests.manifest
    if requests.smallest:
        yield "blob", requests.blob


def _connection(client: Client, host: str) -> Iterator[tuple[str, Callable[[], Result]]]:
    """The steps until a connection stands."""
    is_secure = scheme(host) == "https"
    address = urlsplit(f"//{host}")
    name, port = address.hostname or host, address.port or (443 if is_secure else 80)
    connections: list[socket.socket] = []

    def dns() -> Result:
        entries = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        return None, ", ".join(dict.fromkeys(str(entry[4][0]) for entry in entries[:3]))

    def tcp() -> Result:
        connections.append(socket.create_connection((name, port), TIMEOUT))
        return None, ""

    def tls() -> Result:
        trusted = ssl.create_default_context(cafile=client.bundle or None)
        with connections.pop() as plain, trusted.wrap_socket(plain, server_hostname=name) as encrypted:
            return None, encrypted.version() or ""

    yield "dns", dns
    yield "tcp", tcp
    if is_secure:
        yield "tls", tls
    for plain in connections:
        plain.close()


class _Requests:
    """The requests to one registry, in order, and what each needs to know of those before it."""

    def __init__(self, client: Client, endpoint: Endpoint, observations: _Observations, proxy: str) -> None:
        self.client, self.endpoint, self.observations, self.proxy = client, endpoint, observations, proxy
        self.challenge = ""  # the WWW-Authenticate header of a 401
        self.authorization = ""
        self.smallest = ""  # the path of what is fetched last

    def _get(self, path: str) -> Answer:
        request = Request(method="GET", host=self.endpoint.host, path=path, headers={"Accept": MANIFESTS})
        answer = self.client.send(request, token=self.authorization)
        if answer.response is not None:
            self.observations.read(answer.response.headers)
        return answer

    def answer(self) -> Result:
        answer = self._get("/v2/")
        if answer.response is not None and answer.status == 401:
            self.challenge = answer.response.headers.get("WWW-Authenticate", "")
        return answer.failure, self.proxy

    def token(self) -> Result:
        host = self.endpoint.host
        kind, _, text = self.challenge.partition(" ")
        parameters: dict[str, str] = parse_dict_header(text)  # type: ignore[no-untyped-call]  # its stub has no types
        parameters["scope"] = f"repository:{self.endpoint.repository}:pull{',push' if self.endpoint.writes else ''}"
        login = self.client.login(host)
        help_text, server = f"docker login {host}", urlsplit(parameters.get("realm", "")).netloc
        if kind.lower() != "bearer":
            return (None, "password") if login else (Failure("auth", f"{host} requires a password", help_text), "")
        answer = self.client.tokens.fetch(host, parameters, login)
        if answer.response is None or answer.status != 200:
            return answer.failure or Failure("auth", f"{server}: {answer.status}", help_text), ""
        self.authorization, _ = read_token(answer.response)
        return None, f"{server}, {'logged in' if login else 'anonymous'}"

    def manifest(self) -> Result:
        endpoint = self.endpoint
        answer = self._get(f"/v2/{endpoint.repository}/manifests/{endpoint.tag}")
        if answer.response is None:
            return answer.failure, ""
        if answer.status == 404 and endpoint.writes:
            return None, "nothing has been pushed yet"
        if failure := self._refusal(answer, f"{endpoint.host}: {endpoint.repository}:{endpoint.tag}"):
            return failure, ""
        manifest = buildx.read_index(body_text(answer.response))
        # An index names manifests, a manifest its configuration, which is the smallest thing to fetch.
        first = next(map(_digest, _list(manifest.get("manifests"))), "")
        self.smallest = f"manifests/{first}" if first else _configuration(manifest)
        return None, ""

    def blob(self) -> Result:
        if self.smallest.startswith("manifests/"):
            failure, data, _ = self._content(self.smallest)
            if failure:
                return failure, ""
            self.smallest = _configuration(buildx.read_index(data.decode("utf-8", "replace")))
            if not self.smallest:
                return Failure(
                    "not-found", f"{self.endpoint.host}: an index names something that is not a manifest"
                ), ""
        failure, data, host = self._content(self.smallest)
        return failure, "" if failure else f"{len(data)} bytes from {host}"

    def _content(self, path: str) -> tuple[Failure | None, bytes, str]:
        """What the digest in the path stands for, verified, and the host that sent it; or why it did not come."""
        answer = self._get(f"/v2/{self.endpoint.repository}/{path}")
        if answer.response is None:
            return answer.failure, b"", ""
        digest = path.partition("/")[2]
        title = f"{self.endpoint.host}: {self.endpoint.repository}@{digest}"
        with answer.response as response:
            if failure := self._refusal(answer, title):
                return failure, b"", ""
            try:
                data = b"".join(verified(response.iter_content(CHUNK), title, digest, limit=MAX_DOCUMENT))
            except Refused as error:  # a proxy's page, for example
                return Failure("unknown", error.message, error.help), b"", ""
            return None, data, str(urlsplit(response.url).hostname)

    def _refusal(self, answer: Answer, title: str) -> Failure | None:
        """The failure that a status stands for; None for success."""
        if answer.status < 400:
            return None
        kind = {401: "auth", 403: "auth", 404: "not-found"}.get(answer.status, "unknown")
        help_text = f"docker login {self.endpoint.host}" if kind == "auth" else ""
        return Failure(kind, f"{title}: {answer.status} {answer.received.reason}", help_text)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _digest(descriptor: object) -> str:
    """The digest of a descriptor, "" without a valid one."""
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else ""
    return digest if isinstance(digest, str) and is_known(digest) else ""


def _configuration(manifest: Mapping[str, Any]) -> str:
    """The path of a manifest's configuration, "" for anything else."""
    digest = _digest(manifest.get("config"))
    return f"blobs/{digest}" if digest else ""


# --- from the builder -------------------------------------------------------------------------------------------------------


def _from_builder(context: Context, hosts: tuple[str, ...]) -> Iterator[ConnectionStep]:
    try:
        if not builder_commands.inspect(context).exists:
            context.console.warn("no builder, so nothing is checked from inside it; help: buildlib builder.create")
            return
    except BuildError as error:
        context.console.warn(f"nothing is checked from inside the builder: {error.message}")
        return
    for host in hosts:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "Dockerfile"
            context.run(Write(path=file, text=network.dockerfile(f"{scheme(host)}://{host}/v2/")))
            argv = ("docker", "buildx", "build", "--builder", context.config.builder.name, "--no-cache", "--progress", "rawjson",
                    "--output", "type=cacheonly", "--file", str(file), folder)  # fmt: skip
            title = f"reach {host} from the builder"
            outcome = context.run(Step(title=title, argv=argv, quiet=True, timeout=BUILDER_TIMEOUT))
            yield network.in_builder(host, outcome.output, outcome.code)
