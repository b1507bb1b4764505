import json

import pytest

from buildlib.doctor import network
from buildlib.failures.classify import Failure, classify
from buildlib.doctor.network import BUILDER, HERE, ConnectionStep, NetworkReport

HOST = "r.acme.test"


def failed(text):
    return classify(f"ERROR: {text}")


def leg(name, where=HERE, seconds=0.1, cause=""):
    return ConnectionStep(where=where, host=HOST, name=name, seconds=seconds, failure=failed(cause) if cause else None)


def advice(*legs, network_="host", env=(), **more):
    return network.advice(NetworkReport(legs=legs, env=dict(env), network=network_, **more))


WELL = leg("answer")


def test_nothing_to_change():
    assert advice(WELL, leg("answer", BUILDER), left=50, skew=3.0) == ()


@pytest.mark.parametrize(
    ("legs", "more", "said"),
    [
        ((leg("dns", cause="lookup: Name or service not known"),), {}, "no name server knows it"),
        ((leg("tcp", cause="connection timed out"),), {}, "behind a company's proxy set HTTPS_PROXY"),
        ((leg("tcp", cause="connection timed out"),), {"env": {"HTTPS_PROXY": "http://p:1"}}, "r.acme.test: no connection"),
        ((leg("tls", cause="handshake timeout"),), {}, "MTU"),
        ((leg("tls", cause="certificate verify failed: unable to get local issuer certificate"),), {}, "SSL_CERT_FILE"),
        ((leg("token", cause="401 Unauthorized"),), {}, "docker login"),
        ((WELL, leg("answer", BUILDER, cause="lookup r.acme.test: i/o timeout")), {"network_": "default"}, 'builder.network = "host"'),
        ((WELL, leg("answer", BUILDER, cause="lookup r.acme.test: i/o timeout")), {}, "other name servers"),
        ((WELL, leg("answer", BUILDER, cause="net/http: TLS handshake timeout")), {}, "`mtu`"),
        ((WELL, leg("answer", BUILDER, cause="x509: certificate signed by unknown authority")), {}, "belongs into the builder"),
        ((WELL, leg("answer", BUILDER, cause="connection refused")), {"env": {"HTTPS_PROXY": "p"}}, "env.HTTPS_PROXY"),
        ((WELL,), {"skew": -90.0}, "clock is 90 s behind"),
        ((WELL,), {"left": 3}, "3 requests are left of the rate limit"),
        ((leg("token", seconds=5.2),), {}, "token took 5.2 s from this machine: name a nearer mirror"),
    ],
)  # fmt: skip
def test_what_to_change(legs, more, said):
    assert any(said in line for line in advice(*legs, **more)), advice(*legs, **more)


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


def test_any_answer_of_http_is_one():
    got = network.in_builder(HOST, progress("invalid response status 401"), 1)
    assert (got.failure, got.where, got.name, round(got.seconds, 2)) == (None, BUILDER, "answer", 1.25)
    assert network.in_builder(HOST, progress(), 0).failure is None


def test_what_the_builder_fails_of_is_read():
    got = network.in_builder(HOST, progress("dial tcp: lookup r.acme.test on 10.0.0.1:53: server misbehaving"), 1)
    assert (got.failure.kind, "server misbehaving" in got.failure.cause) == ("transient-network", True)


def test_the_legs_for_a_program():
    survey = NetworkReport(legs=(WELL, ConnectionStep(where=HERE, host=HOST, name="token", seconds=1.23456, failure=Failure("auth", "https://a:b@c"))),
                    env={}, network="host")  # fmt: skip
    assert network.steps_data(survey)[1] == {
        "where": "this machine", "host": HOST, "leg": "token", "seconds": 1.235, "class": "auth", "cause": "https://***@c", "note": "",
    }  # fmt: skip
