"""What the steps of a connection mean, and the advice on them."""

import json
from dataclasses import replace

import pytest

from buildlib.doctor import network
from buildlib.doctor.network import BUILDER, THIS_MACHINE, ConnectionStep, NetworkReport
from buildlib.failures.classify import Failure, classify

HOST = "r.acme.test"


def failed(text):
    return classify(f"ERROR: {text}")


def step(name, where=THIS_MACHINE, seconds=0.1, cause=""):
    return ConnectionStep(where=where, host=HOST, name=name, seconds=seconds, failure=failed(cause) if cause else None)


def advice(*steps, network_="host", env=(), **more):
    return network.advice(NetworkReport(steps=steps, env=dict(env), network=network_, **more))


def at_builder(cause):
    return step("answer", BUILDER, cause=cause)


REACHABLE = step("answer")


def test_no_advice_when_all_steps_succeed():
    assert advice(REACHABLE, step("answer", BUILDER), left=50, skew=3.0) == ()


@pytest.mark.parametrize(
    ("steps", "more", "expected"),
    [
        ((step("dns", cause="lookup: Name or service not known"),), {}, "its name does not resolve"),
        ((step("tcp", cause="connection timed out"),), {}, "behind a company's proxy set HTTPS_PROXY"),
        ((step("tcp", cause="connection timed out"),), {"env": {"HTTPS_PROXY": "http://p:1"}}, "r.acme.test: no connection"),
        ((step("tls", cause="handshake timeout"),), {}, "MTU"),
        ((step("tls", cause="certificate verify failed: unable to get local issuer certificate"),), {}, "SSL_CERT_FILE"),
        ((step("token", cause="401 Unauthorized"),), {}, "docker login"),
        ((REACHABLE, at_builder("lookup r.acme.test: i/o timeout")), {"network_": "default"}, 'builder.network = "host"'),
        ((REACHABLE, at_builder("lookup r.acme.test: i/o timeout")), {}, "uses other name servers"),
        ((REACHABLE, at_builder("net/http: TLS handshake timeout")), {}, "`mtu`"),
        ((REACHABLE, at_builder("x509: certificate signed by unknown authority")), {}, "add your company's CA to the builder"),
        ((REACHABLE, at_builder("connection refused")), {"env": {"HTTPS_PROXY": "p"}}, "env.HTTPS_PROXY"),
        ((REACHABLE,), {"skew": -90.0}, "clock is 90 s behind"),
        ((REACHABLE,), {"left": 3}, "3 requests left of the rate limit"),
        ((step("token", seconds=5.2),), {}, "token took 5.2 s from this machine: configure a nearer mirror"),
    ],
)  # fmt: skip
def test_advice(steps, more, expected):
    lines = advice(*steps, **more)
    assert any(expected in line for line in lines), lines


def progress(error="", code=0):
    vertex = {
        "digest": "sha256:1",
        "name": "[1/1] ADD https://r.acme.test/v2/ /answer",
        "started": "2026-01-01T00:00:00.1Z",
    }
    lines = [
        {"vertexes": [vertex]},
        {"vertexes": [{**vertex, "completed": "2026-01-01T00:00:01.350000001Z", "error": error}]},
    ]
    return "\n".join([*map(json.dumps, lines), f"ERROR: failed to solve: {error}" if error else ""])


def test_any_http_response_counts_as_reachable():
    taken = network.in_builder(HOST, progress("invalid response status 401"), 1)
    assert (taken.failure, taken.where, taken.name, round(taken.seconds, 2)) == (None, BUILDER, "answer", 1.25)
    assert network.in_builder(HOST, progress(), 0).failure is None


def test_failure_of_the_builder_is_classified():
    taken = network.in_builder(HOST, progress("dial tcp: lookup r.acme.test on 10.0.0.1:53: server misbehaving"), 1)
    assert (taken.failure.kind, "server misbehaving" in taken.failure.cause) == ("transient-network", True)


def test_steps_as_json_have_no_secrets():
    token = ConnectionStep(
        where=THIS_MACHINE, host=HOST, name="token", seconds=1.23456, failure=Failure("auth", "https://a:b@c")
    )
    report = NetworkReport(steps=(REACHABLE, token), env={}, network="host")
    assert network.steps_data(report)[1] == {
        "where": "this machine", "host": HOST, "leg": "token", "seconds": 1.235, "class": "auth", "cause": "https://***@c", "note": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "code"),
    [((), 0), ((None, None), 0), (("transient-network",), 5), ((None, "auth"), 4), (("auth", "transient-network"), 4),
     (("transient-network", "auth"), 5), (("not-found",), 5), (("unknown",), 5)],
)  # fmt: skip
def test_credentials_and_certificates_have_the_code_of_missing_requirements(kinds, code):
    """They are this machine's: the network has done what it should."""
    failures = [Failure(kind, "x") if kind else None for kind in kinds]
    steps = tuple(replace(step("token"), failure=failure) for failure in failures)
    assert network.exit_code(NetworkReport(steps=steps, env={}, network="host")) == code
