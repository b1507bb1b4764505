"""The way to each registry, leg by leg: what there is to try, what the builder's progress says of it, and what to change.

Pure. From this machine, where buildx and the gateway ask, and from the builder, whose BuildKit fetches what a Dockerfile names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from buildlib.failures.classify import Failure, classify
from buildlib.failures.log import progress
from buildlib.failures.redact import redact

HERE, BUILDER = "this machine", "the builder"
SLOW = 3.0  # seconds for one leg: a build asks dozens of times, and BuildKit gives a token 5 s in all
SKEW = 60.0  # seconds; certificates that were just issued break first
FEW = 10  # requests left of a rate limit
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStep:
    """One step of the way. `seconds` that it took; `failure` is why it did not get there; `note` is what else was seen."""

    where: str
    host: str
    name: str  # dns, tcp, tls, answer, token, manifest, blob
    seconds: float
    failure: Failure | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A registry in use, or the mirror of one: `host` answers, `repository` and `tag` are what is asked for there."""

    host: str
    repository: str
    tag: str
    writes: bool = False  # images are pushed there


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReport:
    """All legs, and what is known of both ends."""

    steps: tuple[ConnectionStep, ...]
    skew: float = 0.0  # seconds that this clock is ahead of the registries'
    left: int | None = None  # requests of a rate limit that are left
    env: Mapping[str, str]
    network: str  # the builder's


def dockerfile(url: str) -> str:
    """What makes BuildKit itself ask for an address: its own names, routes, proxies and certificates."""
    return f"FROM scratch\nADD {url} /answer\n"


def in_builder(host: str, output: str, code: int) -> ConnectionStep:
    """What the builder's raw JSON progress says of `dockerfile`: any answer of HTTP's is one, also a refusal."""
    seconds, said = 0.0, ""
    for _, told in progress(output.splitlines()):
        for vertex in _vertexes(told):
            if vertex.get("started") and vertex.get("completed") and "http" in str(vertex.get("name")):
                seconds = max(seconds, _seconds(vertex["started"], vertex["completed"]))
                said = str(vertex.get("error") or said)
    answered = code == 0 or "invalid response status" in f"{said}{output}"
    failure = None if answered else classify(said or output, code, "docker")
    return ConnectionStep(where=BUILDER, host=host, name="answer", seconds=seconds, failure=failure)


def _vertexes(told: str | dict[str, Any]) -> list[dict[str, Any]]:
    return (
        [vertex for vertex in told.get("vertexes") or () if isinstance(vertex, dict)] if isinstance(told, dict) else []
    )


def _seconds(began: str, ended: str) -> float:
    # RFC 3339 with nanoseconds, which Python reads since 3.11.
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def advice(survey: NetworkReport) -> tuple[str, ...]:
    """What to change, the likeliest first; nothing when all legs are well."""
    return tuple(dict.fromkeys((*_of_the_clock(survey), *_of_legs(survey), *_of_pace(survey))))


def _of_the_clock(survey: NetworkReport) -> Iterable[str]:
    if abs(survey.skew) >= SKEW:
        ahead = "ahead" if survey.skew > 0 else "behind"
        yield f"this machine's clock is {abs(survey.skew):.0f} s {ahead}: certificates and tokens break of it; set it (NTP)"


def _of_legs(survey: NetworkReport) -> Iterable[str]:
    well = {leg.host for leg in survey.steps if leg.where == HERE and leg.name == "answer" and not leg.failure}
    for leg in survey.steps:
        if leg.failure is None:
            continue
        if leg.where == BUILDER and leg.host in well:
            yield from _of_the_builder(survey, leg)
        elif "x509" in leg.failure.cause or "certificate" in leg.failure.cause.lower():
            yield f"{leg.host}: its certificate is not trusted here: {leg.failure.cause}; set SSL_CERT_FILE to your company's CA"
        elif leg.name == "dns":
            yield f"{leg.host}: no name server knows it: check /etc/resolv.conf, the VPN, and the name"
        elif leg.name == "tls":
            yield f"{leg.host}: TCP gets there, TLS does not: a proxy that cuts it, or an MTU that is too large on the way (VPN)"
        elif leg.name == "tcp":
            proxied = any(survey.env.get(name) for name in PROXIES)
            yield f"{leg.host}: no connection" + ("" if proxied else "; behind a company's proxy set HTTPS_PROXY")
        else:
            yield f"{leg.host}: {leg.name}: {leg.failure.help or leg.failure.cause}"


def _of_the_builder(survey: NetworkReport, leg: ConnectionStep) -> Iterable[str]:
    """This machine gets there, and the builder does not."""
    cause = leg.failure.cause.lower() if leg.failure else ""
    if survey.network != "host":
        yield f'{leg.host}: only the builder does not get there: set builder.network = "host", then buildlib builder.create --force'
    if "lookup" in cause:
        yield f"{leg.host}: the builder has other name servers: set `dns` in the Docker daemon's daemon.json"
    elif "x509" in cause:
        yield f"{leg.host}: the builder does not trust its certificate: your company's CA belongs into the builder, too"
    elif "tls" in cause or "i/o timeout" in cause:
        yield f'{leg.host}: large packets are lost between builder and host: set a smaller `mtu` in daemon.json, or network = "host"'
    if any(survey.env.get(name) for name in PROXIES):
        yield "this machine has proxy variables, the builder has none: docker buildx create --driver-opt env.HTTPS_PROXY=..."


def _of_pace(survey: NetworkReport) -> Iterable[str]:
    for leg in survey.steps:
        if leg.failure is None and leg.seconds >= SLOW:
            yield f"{leg.host}: {leg.name} took {leg.seconds:.1f} s from {leg.where}: name a nearer mirror (`builder.mirrors`)"
    if survey.left is not None and survey.left < FEW:
        yield f"{survey.left} requests are left of the rate limit: `docker login`, or name a mirror (`builder.mirrors`)"


# One step of the connection as JSON. "class" is a keyword of Python's.
StepData = TypedDict(
    "StepData",
    {"where": str, "host": str, "leg": str, "seconds": float, "class": str | None, "cause": str | None, "note": str},
)


def steps_data(survey: NetworkReport) -> list[StepData]:
    """The legs for a program."""
    return [
        {
            "where": leg.where, "host": leg.host, "leg": leg.name, "seconds": round(leg.seconds, 3),
            "class": leg.failure.kind if leg.failure else None,
            "cause": redact(leg.failure.cause) if leg.failure else None, "note": leg.note,
        }
        for leg in survey.steps
    ]  # fmt: skip
