"""The connection to each registry, step by step: what a step is, what the builder's progress shows, and what to change.

Pure; network_probe takes the steps. They are taken from this machine, where buildx and the gateway send requests, and from the
builder, whose BuildKit fetches what a Dockerfile names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from buildlib.core.errors import MissingRequirements, NetworkError
from buildlib.failures.classify import Failure, classify
from buildlib.failures.log import progress
from buildlib.failures.redact import redact

THIS_MACHINE, BUILDER = "this machine", "the builder"
SLOW = 3.0  # seconds for one step: a build needs dozens of them, and BuildKit waits 5 s in all for a token
MAX_SKEW = 60.0  # seconds; certificates that were just issued fail first
FEW_REQUESTS = 10  # left of a rate limit
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStep:
    """One step of a connection. `failure` is None for a step that succeeded; `note` is what else was seen."""

    where: str  # THIS_MACHINE or BUILDER
    host: str
    name: str  # dns, tcp, tls, answer, token, manifest, blob
    seconds: float
    failure: Failure | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A registry in use, or a mirror of one: `host` is asked for `tag`, a tag or a digest, of `repository`."""

    host: str
    repository: str
    tag: str
    writes: bool = False  # images are pushed there


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReport:
    """All steps, and what is known about this machine, the builder and the registries."""

    steps: tuple[ConnectionStep, ...]
    skew: float = 0.0  # seconds that this clock is ahead of the registries'
    left: int | None = None  # requests that are left of a rate limit
    env: Mapping[str, str]
    network: str  # the setting builder.network


def dockerfile(url: str) -> str:
    """A Dockerfile that makes BuildKit itself request `url`, with its own name servers, routes, proxies and certificates."""
    return f"FROM scratch\nADD {url} /answer\n"


def in_builder(host: str, output: str, code: int) -> ConnectionStep:
    """The step that a build of `dockerfile` took, from its raw JSON progress and exit code.

    Any HTTP response counts as reachable, even a 4xx.
    """
    seconds, error = 0.0, ""
    for _, item in progress(output.splitlines()):
        for vertex in _vertexes(item):
            if vertex.get("started") and vertex.get("completed") and "http" in str(vertex.get("name")):
                seconds = max(seconds, _seconds(vertex["started"], vertex["completed"]))
                error = str(vertex.get("error") or error)
    reachable = code == 0 or "invalid response status" in f"{error}{output}"
    failure = None if reachable else classify(error or output, code, "docker")
    return ConnectionStep(where=BUILDER, host=host, name="answer", seconds=seconds, failure=failure)


def _vertexes(item: str | dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(item, str):
        return []
    return [vertex for vertex in item.get("vertexes") or () if isinstance(vertex, dict)]


def _seconds(began: str, ended: str) -> float:
    # RFC 3339 with nanoseconds, which Python reads since 3.11.
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def exit_code(report: NetworkReport) -> int:
    """The code of the first step that failed, 0 if none did: credentials and certificates are this machine's, not the network's."""
    for step in report.steps:
        if step.failure:
            return MissingRequirements.code if step.failure.kind in ("auth", "certificate") else NetworkError.code
    return 0


def advice(report: NetworkReport) -> tuple[str, ...]:
    """What to change, the likeliest first; nothing when all steps succeeded in time."""
    return tuple(dict.fromkeys((*_on_clock(report), *_on_failures(report), *_on_speed(report))))


def _on_clock(report: NetworkReport) -> Iterable[str]:
    if abs(report.skew) >= MAX_SKEW:
        ahead = "ahead" if report.skew > 0 else "behind"
        yield (
            f"this machine's clock is {abs(report.skew):.0f} s {ahead}, which makes certificates and tokens fail: "
            "synchronize it (NTP)"
        )


def _on_failures(report: NetworkReport) -> Iterable[str]:
    reachable = {
        step.host for step in report.steps if step.where == THIS_MACHINE and step.name == "answer" and not step.failure
    }
    for step in report.steps:
        if step.failure is None:
            continue
        if step.where == BUILDER and step.host in reachable:
            yield from _on_builder(report, step.host, step.failure)
        elif "x509" in step.failure.cause or "certificate" in step.failure.cause.lower():
            yield (
                f"{step.host}: its certificate is not trusted on this machine: {step.failure.cause}; set SSL_CERT_FILE to your "
                "company's CA"
            )
        elif step.name == "dns":
            yield f"{step.host}: its name does not resolve: check /etc/resolv.conf, the VPN, and the name"
        elif step.name == "tls":
            yield f"{step.host}: TCP connects, TLS does not: a proxy cuts it, or the MTU is too large for the network (VPN)"
        elif step.name == "tcp":
            has_proxy = any(report.env.get(name) for name in PROXIES)
            yield f"{step.host}: no connection" + ("" if has_proxy else "; behind a company's proxy set HTTPS_PROXY")
        else:
            yield f"{step.host}: {step.name}: {step.failure.help or step.failure.cause}"


def _on_builder(report: NetworkReport, host: str, failure: Failure) -> Iterable[str]:
    """What to change when this machine reaches the host and the builder does not."""
    cause = failure.cause.lower()
    if report.network != "host":
        yield f'{host}: only the builder cannot reach it: set builder.network = "host", then buildlib builder.create --force'
    if "lookup" in cause:
        yield f"{host}: the builder uses other name servers: set `dns` in the Docker daemon's daemon.json"
    elif "x509" in cause:
        yield f"{host}: the builder does not trust its certificate: add your company's CA to the builder too"
    elif "tls" in cause or "i/o timeout" in cause:
        yield (
            f"{host}: large packets are lost between builder and host: set a smaller `mtu` in daemon.json, or "
            'builder.network = "host"'
        )
    if any(report.env.get(name) for name in PROXIES):
        yield "this machine has proxy variables, the builder has none: docker buildx create --driver-opt env.HTTPS_PROXY=..."


def _on_speed(report: NetworkReport) -> Iterable[str]:
    for step in report.steps:
        if step.failure is None and step.seconds >= SLOW:
            yield (
                f"{step.host}: {step.name} took {step.seconds:.1f} s from {step.where}: configure a nearer mirror "
                "(`builder.mirrors`)"
            )
    if report.left is not None and report.left < FEW_REQUESTS:
        left = f"{report.left} request{'' if report.left == 1 else 's'}"
        yield f"{left} left of the rate limit: `docker login`, or configure a mirror (`builder.mirrors`)"


# One step of the connection as JSON; "class" is a keyword of Python's, "leg" a key of the published format.
StepData = TypedDict(
    "StepData",
    {"where": str, "host": str, "leg": str, "seconds": float, "class": str | None, "cause": str | None, "note": str},
)


def steps_data(report: NetworkReport) -> list[StepData]:
    """The steps as JSON data, without secrets."""
    return [
        {
            "where": step.where, "host": step.host, "leg": step.name, "seconds": round(step.seconds, 3),
            "class": step.failure.kind if step.failure else None,
            "cause": redact(step.failure.cause) if step.failure else None, "note": step.note,
        }
        for step in report.steps
    ]  # fmt: skip
