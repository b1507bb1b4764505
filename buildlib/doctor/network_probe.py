"""Goes the way to each registry once, without a retry, and takes the time of each leg: from here, and from inside the builder."""

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

from buildlib.core.errors import BuildError
from buildlib.core.plan import Step, Write
from buildlib.core.settings import Retry
from buildlib.doctor import network
from buildlib.doctor.network import HERE, ConnectionStep, Endpoint, NetworkReport
from buildlib.failures.classify import Failure
from buildlib.images import buildx, dockerfile, builder_commands, spec
from buildlib.machine import docker_daemon
from buildlib.process.context import Context
from buildlib.process.retry import Budget
from buildlib.registry.client import MANIFESTS, Client, read_token
from buildlib.registry.http import Answer, Request, body_text, network_failure, scheme, seconds_until
from buildlib.registry.reference import parse

TIMEOUT = 10.0  # seconds for a leg of this machine's
INSIDE = 60.0  # seconds for BuildKit, which tries for a while by itself


def probe_network(context: Context) -> NetworkReport:
    """All legs to all registries and mirrors that the settings name. A builder that is not there is said, and left out."""
    found = _Found()
    once = Retry(attempts=1, delay=0.0, max_delay=0.0, total=0.0)
    client = Client(Budget(once), time.sleep, lambda *_: None, bundle=context.run.env.get("SSL_CERT_FILE", ""),
                    mirrors={}, login=docker_daemon.login(context.run.env, context.console.warn))  # fmt: skip
    wanted = endpoints(context)
    legs = [leg for goal in wanted for leg in _from_here(client, goal, found)]
    legs += _from_the_builder(context, tuple(dict.fromkeys(goal.host for goal in wanted)))
    return NetworkReport(
        steps=tuple(legs),
        skew=found.skew,
        left=found.left,
        env=context.run.env,
        network=context.config.builder.network,
    )


def endpoints(context: Context) -> tuple[Endpoint, ...]:
    """The registries that images are made from, with their mirrors, and the one that they are pushed to."""
    by_registry = context.config.builder.hosts()
    found: list[Endpoint] = []
    for component in context.workspace.pick(()):
        base = spec.stage_of(context, component).base or dockerfile.DEFAULT_BASE
        if base != "scratch":
            image = parse(base)
            hosts = (*by_registry.get(image.registry, ()), image.host)
            found += [Endpoint(host=host, repository=image.repository, tag=image.version) for host in hosts]
        if context.config.registry:
            image = parse(f"{spec.registry(context)}/{component.name.lower()}")
            found.append(Endpoint(host=image.host, repository=image.repository, tag=component.version, writes=True))
    # One component speaks for all that are pushed to the same place.
    return tuple({(goal.host, goal.writes): goal for goal in reversed(found)}.values())[::-1]


class _Found:
    """What is seen beside the way."""

    skew, left = 0.0, None

    def read(self, headers: Any) -> None:
        ahead = seconds_until(headers.get("Date", ""))
        self.skew = self.skew if ahead is None else -ahead
        limit = headers.get("ratelimit-remaining", "").partition(";")[0]
        self.left = int(limit) if limit.isdigit() else self.left


# --- from this machine ---------------------------------------------------------------------------------------------------


def _from_here(client: Client, goal: Endpoint, found: _Found) -> Iterator[ConnectionStep]:
    """The legs in their order, the last one the first that fails."""
    for name, leg in _legs(client, goal, found):
        began = time.monotonic()
        try:
            failure, note = leg()
        except OSError as error:
            failure, note = network_failure(error, f"{goal.host}: {name}"), ""
        yield ConnectionStep(where=HERE, host=goal.host, name=name, seconds=time.monotonic() - began, failure=failure, note=note)
        if failure:
            return


Went = tuple[Failure | None, str]


def _legs(client: Client, goal: Endpoint, found: _Found) -> Iterator[tuple[str, Callable[[], Went]]]:
    proxy = get_environ_proxies(f"{scheme(goal.host)}://{goal.host}").get(scheme(goal.host))
    if not proxy:  # else it is the proxy that looks names up and connects
        yield from _connection(client, goal.host)
    way = _Way(client, goal, found, f"through {urlsplit(proxy).hostname}" if proxy else "")
    yield "answer", way.answer
    if way.challenge:
        yield "token", way.token
    yield "manifest", way.manifest
    if way.blob:
        yield "blob", way.small_blob


def _connection(client: Client, host: str) -> Iterator[tuple[str, Callable[[], Went]]]:
    secure = scheme(host) == "https"
    told = urlsplit(f"//{host}")
    name, port = told.hostname or host, told.port or (443 if secure else 80)
    opened: list[socket.socket] = []

    def dns() -> Went:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        return None, ", ".join(dict.fromkeys(entry[4][0] for entry in found[:3]))

    def tcp() -> Went:
        opened.append(socket.create_connection((name, port), TIMEOUT))
        return None, ""

    def tls() -> Went:
        trusted = ssl.create_default_context(cafile=client.bundle or None)
        with opened.pop() as plain, trusted.wrap_socket(plain, server_hostname=name) as safe:
            return None, safe.version() or ""

    yield "dns", dns
    yield "tcp", tcp
    if secure:
        yield "tls", tls
    for plain in opened:
        plain.close()


class _Way:
    """What one leg has to know of those before it."""

    def __init__(self, client: Client, goal: Endpoint, found: _Found, proxy: str) -> None:
        self.client, self.goal, self.found, self.proxy = client, goal, found, proxy
        self.challenge = self.header = self.blob = ""

    def _get(self, path: str) -> Answer:
        request = Request(method="GET", host=self.goal.host, path=path, headers={"Accept": MANIFESTS})
        answer = self.client.send(request, token=self.header)
        if answer.response is not None:
            self.found.read(answer.response.headers)
        return answer

    def answer(self) -> Went:
        answer = self._get("/v2/")
        if answer.status == 401:
            self.challenge = answer.response.headers.get("WWW-Authenticate", "")
        return answer.failure, self.proxy

    def token(self) -> Went:
        kind, _, told = self.challenge.partition(" ")
        words = {
            **parse_dict_header(told),
            "scope": f"repository:{self.goal.repository}:pull{',push' if self.goal.writes else ''}",
        }
        login = self.client.login(self.goal.host)
        cure, server = f"docker login {self.goal.host}", urlsplit(words.get("realm", "")).netloc
        if kind.lower() != "bearer":
            return (None, "password") if login else (Failure("auth", f"{self.goal.host} wants a password", cure), "")
        answer = self.client.fetch_token(self.goal.host, words, login)
        if answer.status != 200:
            return answer.failure or Failure("auth", f"{server}: {answer.status}", cure), ""
        self.header, _ = read_token(answer.response)
        return None, f"{server}, {'logged in' if login else 'anonymous'}"

    def manifest(self) -> Went:
        answer = self._get(f"/v2/{self.goal.repository}/manifests/{self.goal.tag}")
        if answer.response is None:
            return answer.failure, ""
        status, said = answer.response.status_code, body_text(answer.response)
        if status == 404 and self.goal.writes:
            return None, "nothing is there yet"
        if status >= 400:
            kind = "not-found" if status == 404 else "auth"
            return Failure(
                kind, f"{self.goal.host}: {self.goal.repository}:{self.goal.tag}: {status} {answer.response.reason}"
            ), ""
        named = buildx.read_index(said)
        # An index names manifests, a manifest its configuration: the smallest thing that there is to fetch.
        first = next((entry["digest"] for entry in named.get("manifests") or ()), "")
        self.blob = f"manifests/{first}" if first else _configuration(named)
        return None, ""

    def small_blob(self) -> Went:
        if self.blob.startswith("manifests/"):
            answer = self._get(f"/v2/{self.goal.repository}/{self.blob}")
            if answer.response is None:
                return answer.failure, ""
            self.blob = _configuration(buildx.read_index(body_text(answer.response)))
            if not self.blob:
                return Failure("not-found", f"{self.goal.host}: an index names a manifest that is none"), ""
        answer = self._get(f"/v2/{self.goal.repository}/{self.blob}")
        if answer.response is None:
            return answer.failure, ""
        return None, f"{len(body_text(answer.response))} bytes from {urlsplit(answer.response.url).hostname}"


def _configuration(manifest: Mapping[str, Any]) -> str:
    """The path of a manifest's configuration, "" for what is no manifest."""
    digest = (manifest.get("config") or {}).get("digest", "")
    return f"blobs/{digest}" if digest else ""


# --- from the builder -------------------------------------------------------------------------------------------------------


def _from_the_builder(context: Context, hosts: tuple[str, ...]) -> Iterator[ConnectionStep]:
    try:
        if not builder_commands.inspect(context).exists:
            context.console.warn("no builder to look from; help: buildlib builder.create")
            return
    except BuildError as error:
        context.console.warn(f"nothing to look from inside: {error.message}")
        return
    for host in hosts:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "Dockerfile"
            context.run(Write(path=file, text=network.dockerfile(f"{scheme(host)}://{host}/v2/")))
            argv = ("docker", "buildx", "build", "--builder", context.config.builder.name, "--no-cache", "--progress", "rawjson",
                    "--output", "type=cacheonly", "--file", str(file), folder)  # fmt: skip
            asked = context.run(Step(title=f"reach {host} from the builder", argv=argv, quiet=True, timeout=INSIDE))
            yield network.in_builder(host, asked.output, asked.code)
